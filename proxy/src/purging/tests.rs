use super::*;
use tiergate_engine::ByteCount;

fn hard(selector: Selector) -> Result<Wish, WishError> {
    Ok(Wish { selectors: vec![selector], mode: PurgeMode::Hard })
}

fn tag(text: &str) -> Selector {
    Selector::Tag(Tag::new(text).expect("a tag"))
}

/// A URL has the key under which clients' requests for it are stored, whatever it is encoded as.
#[test]
fn a_url_is_what_clients_ask_for() {
    let key = Selector::Key(CacheKey::of("host:81", "/a?b=c+d"));
    assert_eq!(Wish::of_form("url=http://host:81/a?b=c%2Bd"), hard(key.clone()));
    assert_eq!(Wish::of_form("url=http%3A%2F%2FHOST%3a81%2Fa%3Fb%3Dc%2Bd"), hard(key));
    assert_eq!(Wish::of_form("url=http://host:80/"), Wish::of_form("url=http://host./"));
    assert_ne!(Wish::of_form("url=https://host/"), Wish::of_form("url=http://host/"));
    let root = Selector::Key(CacheKey::of("host", "/"));
    assert_eq!(Wish::of_form("url=http://host"), hard(root));
    let bare: Request<()> = Request::get("/a").header("host", "Host").body(()).expect("a right request");
    let RequestHead { authority, target, .. } =
        http_head::request_head(&bare.into_parts().0, Scheme::Http).expect("it names its host");
    assert_eq!(Wish::of_form("url=http://host/a"), hard(Selector::Key(CacheKey::of(&authority, &target))));
}

/// Each name asks for what it says.
#[test]
fn names_say_what_to_purge() {
    let prefix = Selector::Prefix(Prefix::new("host", "/a").expect("a prefix"));
    assert_eq!(Wish::of_form("prefix=http://Host/a"), hard(prefix));
    assert_eq!(Wish::of_form("all=true"), hard(Selector::All));
    assert_eq!(Wish::of_form("all=true&soft=0"), hard(Selector::All));
    let soft = Wish { selectors: vec![tag("a"), tag("b")], mode: PurgeMode::Soft };
    assert_eq!(Wish::of_form("tag=a&soft=true&tag=B&"), Ok(soft));
    assert_eq!(Wish::of_form("tag=a&all=false"), hard(tag("a")));
}

/// What contradicts itself, or names what nothing can be stored under, is refused with its reason.
#[test]
fn wishes_that_are_none_are_refused() {
    let many = "tag=a&".repeat(TAGS_MAX + 1);
    let cases = [
        ("", WishError::Nothing),
        ("soft=true", WishError::Nothing),
        ("all=false", WishError::Nothing),
        ("all", WishError::NotBoolean),
        ("all=yes", WishError::NotBoolean),
        ("all=true&tag=a", WishError::Several),
        ("url=http://a/&url=http://a/", WishError::Several),
        ("url=http://a/&all=true", WishError::Several),
        ("key=a", WishError::UnknownName),
        ("url=/a", WishError::BadUrl),
        ("url=ftp://a/", WishError::BadUrl),
        ("url=http://user@a/", WishError::BadUrl),
        ("url=http://a/ b", WishError::BadUrl),
        ("url=%", WishError::BadEncoding),
        ("url=%4", WishError::BadEncoding),
        ("url=%4g", WishError::BadEncoding),
        ("url=%ff", WishError::BadEncoding),
        ("tag=", WishError::BadSelector(SelectorError::TagEmpty)),
        ("tag=a,b", WishError::BadSelector(SelectorError::TagByte)),
        (many.as_str(), WishError::TooManyTags),
    ];
    for (form, error) in cases {
        assert_eq!(Wish::of_form(form), Err(error), "{form}");
        assert!(!error.to_string().is_empty());
    }
}

/// Each outcome has its own word, and a size where one is known; one failure makes the whole incomplete.
#[test]
fn a_report_says_what_each_tier_saw() {
    let tiers = vec![
        (TierId::L0, PurgeOutcome::Removed(ByteCount(12))),
        (TierId::L1, PurgeOutcome::Failed),
        (TierId::L2, PurgeOutcome::Absent),
    ];
    let report = Report { tiers, elsewhere: Elsewhere::NoFeed };
    assert_eq!(
        report.line(&[Selector::Key(CacheKey(0x1f))]),
        "{\"key\":\"0000000000000000000000000000001f\",\"l0\":{\"outcome\":\"removed\",\"bytes\":12},\
         \"l1\":{\"outcome\":\"failed\"},\"l2\":{\"outcome\":\"absent\"}}\n"
    );
    assert!(report.is_incomplete());
    let all = |elsewhere| Report { tiers: Vec::new(), elsewhere };
    assert_eq!(all(Elsewhere::Told).line(&[Selector::All]), "{\"purged\":\"all\",\"feed\":\"told\"}\n");
    assert_eq!(
        all(Elsewhere::Failed).line(&[tag("a"), tag("b")]),
        "{\"purged\":\"tags\",\"tags\":2,\"feed\":\"failed\"}\n"
    );
    assert!(all(Elsewhere::Failed).is_incomplete() && !all(Elsewhere::Told).is_incomplete());
}
