//! May a stored response answer a request now (RFC 9111 section 4), and may it in place of an error (section
//! 4.2.4)?

use super::{
    directives::{MaxStale, RequestDirectives},
    policy::{ClientDirectives, Policy},
    request::{has_credentials, has_precondition},
    staleness::StaleWindows,
};
use crate::language::head::Fields;
use core::time::Duration;

/// Must the origin agree to each use of a stored response (`no-cache`, RFC 9111 section 5.2.2.4)?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reuse {
    /// No: it may be used while it is fresh.
    WhileFresh,
    /// Yes, however fresh it is.
    AfterRevalidation,
}

/// May a stored response be used when it is stale?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WhenStale {
    /// Within its windows, or if a client that is obeyed says so.
    Allowed,
    /// Never: `must-revalidate`, `proxy-revalidate`, `s-maxage` or `no-cache` (section 4.2.4).
    Forbidden,
}

/// May a stored response answer requests with `Authorization`?
///
/// RFC 9111 section 3.5 asks this of what such a request brought. What another one brought may be used for it
/// (section 4), but origins that answer by credentials often do not say so with `Vary`: only a response that
/// is meant for both is used for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// Yes: `public`, `s-maxage` or `must-revalidate`.
    Shared,
    /// No: the origin answers them.
    Apart,
}

/// What decides over the use of a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// Its age now.
    pub age: Duration,
    /// The age from which on it is stale.
    pub lifetime: Duration,
    /// How far past its lifetime it may be used.
    pub windows: StaleWindows,
    /// Must the origin agree?
    pub reuse: Reuse,
    /// May it be used stale?
    pub when_stale: WhenStale,
    /// May it be used for requests with credentials?
    pub credentials: Credentials,
}

/// How a request is answered from a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// With it.
    Serve,
    /// With it, and it is revalidated meanwhile (RFC 5861 section 3).
    ServeAndRevalidate,
    /// The origin is asked first.
    Revalidate,
    /// Not with it, even if the origin agrees: the request goes around the cache.
    Withheld,
}

/// How a request with these fields is answered from `stored`.
pub(crate) fn usable(policy: &Policy, request: &Fields, stored: &Stored) -> Use {
    if stored.credentials == Credentials::Apart && has_credentials(request) {
        return Use::Withheld;
    }
    let asked = match policy.client_directives {
        ClientDirectives::Ignore => RequestDirectives::default(),
        ClientDirectives::Obey => RequestDirectives::of(request),
    };
    let too_old = asked.max_age.is_some_and(|most| stored.age > most);
    if stored.reuse == Reuse::AfterRevalidation || asked.no_cache || too_old {
        return Use::Revalidate;
    }
    let wanted = stored.age.saturating_add(asked.min_fresh.unwrap_or_default());
    if wanted < stored.lifetime {
        return Use::Serve;
    }
    // A client that wants it fresh for longer does not want it stale, and what is stale says nothing of which
    // representation the origin has now.
    let wants_current = asked.min_fresh.is_some() || has_precondition(request);
    if stored.when_stale == WhenStale::Forbidden || wants_current {
        return Use::Revalidate;
    }
    let staleness = stored.age.saturating_sub(stored.lifetime);
    match asked.max_stale {
        Some(MaxStale::Any) => return Use::Serve,
        Some(MaxStale::Within(most)) if staleness <= most => return Use::Serve,
        Some(MaxStale::Within(_)) | None => {}
    }
    // A client that says how old at most has had its say in what is fresh enough.
    if asked.max_age.is_none() && staleness < stored.windows.while_revalidate {
        return Use::ServeAndRevalidate;
    }
    Use::Revalidate
}

/// May `stored` be served because the origin failed, or answered 500, 502, 503 or 504 (RFC 5861 section 4)?
pub(crate) fn usable_on_error(stored: &Stored) -> bool {
    stored.reuse == Reuse::WhileFresh
        && (stored.age < stored.lifetime
            || stored.when_stale == WhenStale::Allowed
                && stored.age.saturating_sub(stored.lifetime) < stored.windows.if_error)
}

/// Is an answer with this status a failure that a stale response may stand in for (RFC 5861 section 4)?
pub(crate) const fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Must the request be answered from what is stored, or with 504 (section 5.2.1.7)?
pub(crate) fn is_only_if_cached(policy: &Policy, request: &Fields) -> bool {
    policy.client_directives == ClientDirectives::Obey && RequestDirectives::of(request).only_if_cached
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OBEY: Policy = Policy { client_directives: ClientDirectives::Obey, ..Policy::DEFAULT };

    fn aged(age: u64) -> Stored {
        Stored {
            age: Duration::from_secs(age),
            lifetime: Duration::from_secs(10),
            windows: StaleWindows {
                while_revalidate: Duration::from_secs(5),
                if_error: Duration::from_secs(20),
            },
            reuse: Reuse::WhileFresh,
            when_stale: WhenStale::Allowed,
            credentials: Credentials::Apart,
        }
    }

    fn asked(policy: &Policy, line: &str, stored: &Stored) -> Use {
        usable(policy, &[("cache-control", line)].into_iter().collect(), stored)
    }

    /// Fresh, stale within each window, and past them; each bound belongs to what follows it.
    #[test]
    fn age_decides() {
        let uses = [0, 9, 10, 14, 15].map(|age| usable(&Policy::DEFAULT, &Fields::new(), &aged(age)));
        assert_eq!(
            uses,
            [Use::Serve, Use::Serve, Use::ServeAndRevalidate, Use::ServeAndRevalidate, Use::Revalidate]
        );
        assert_eq!([9, 10, 29, 30].map(|age| usable_on_error(&aged(age))), [true, true, true, false]);
    }

    /// What forbids staleness shuts both windows, and `no-cache` even freshness.
    #[test]
    fn the_origin_may_forbid() {
        let strict = |age| Stored { when_stale: WhenStale::Forbidden, ..aged(age) };
        assert_eq!(
            [9, 10].map(|age| usable(&OBEY, &Fields::new(), &strict(age))),
            [Use::Serve, Use::Revalidate]
        );
        assert_eq!([9, 10].map(|age| usable_on_error(&strict(age))), [true, false]);
        assert_eq!(asked(&OBEY, "max-stale", &strict(10)), Use::Revalidate);
        let no_cache = Stored { reuse: Reuse::AfterRevalidation, ..aged(0) };
        assert_eq!(usable(&OBEY, &Fields::new(), &no_cache), Use::Revalidate);
        assert_eq!(asked(&OBEY, "max-stale", &no_cache), Use::Revalidate);
        assert!(!usable_on_error(&no_cache));
    }

    /// Credentials are answered with what is meant for them too, as anybody is, and with nothing else,
    /// however fresh or stale.
    #[test]
    fn credentials_are_answered_with_what_is_shared() {
        let request: Fields = [("authorization", "x")].into_iter().collect();
        for age in [0, 9, 10, 15, 99] {
            let apart = aged(age);
            assert_eq!(usable(&Policy::DEFAULT, &request, &apart), Use::Withheld, "{age}");
            let shared = Stored { credentials: Credentials::Shared, ..apart };
            let anybody = usable(&Policy::DEFAULT, &Fields::new(), &shared);
            assert_eq!(usable(&Policy::DEFAULT, &request, &shared), anybody, "{age}");
        }
    }

    /// A precondition is judged by what is fresh, and by nothing that is stale.
    #[test]
    fn preconditions_want_what_is_current() {
        for name in ["if-match", "if-unmodified-since"] {
            let request: Fields = [(name, "x")].into_iter().collect();
            let uses = [9, 10, 14].map(|age| usable(&Policy::DEFAULT, &request, &aged(age)));
            assert_eq!(uses, [Use::Serve, Use::Revalidate, Use::Revalidate], "{name}");
        }
    }

    /// A client's wishes count where the policy says so, and nowhere else.
    #[test]
    fn clients_are_obeyed_by_choice() {
        let cases = [
            ("no-cache", 0, Use::Revalidate),
            ("max-age=5", 5, Use::Serve),
            ("max-age=5", 6, Use::Revalidate),
            ("max-age=12", 11, Use::Revalidate),
            ("min-fresh=3", 6, Use::Serve),
            ("min-fresh=3", 7, Use::Revalidate),
            ("max-stale", 99, Use::Serve),
            ("max-stale=5", 15, Use::Serve),
            ("max-stale=5", 16, Use::Revalidate),
            ("max-age=12, max-stale=5", 11, Use::Serve),
            ("max-age=12, max-stale=5", 13, Use::Revalidate),
            ("nothing-to-see-here", 11, Use::ServeAndRevalidate),
        ];
        for (line, age, expected) in cases {
            assert_eq!(asked(&OBEY, line, &aged(age)), expected, "{line} at {age}");
            let ignored = usable(&Policy::DEFAULT, &Fields::new(), &aged(age));
            assert_eq!(asked(&Policy::DEFAULT, line, &aged(age)), ignored, "{line} at {age}");
        }
        let only: Fields = [("cache-control", "only-if-cached")].into_iter().collect();
        assert!(is_only_if_cached(&OBEY, &only));
        assert!(!is_only_if_cached(&Policy::DEFAULT, &only));
        assert!(!is_only_if_cached(&OBEY, &Fields::new()));
    }

    /// The errors that RFC 5861 section 4 lists.
    #[test]
    fn errors_are_the_servers() {
        let errors: std::vec::Vec<u16> = (100..1000).filter(|status| is_error(*status)).collect();
        assert_eq!(errors, [500, 502, 503, 504]);
    }

    proptest! {
        /// Growing older never makes a response more usable.
        #[test]
        fn age_never_helps(age in 0_u64..60, more in 0_u64..60, line in "(no-cache|max-age=[0-9]|min-fresh=[0-9]|max-stale=[0-9]|max-stale|x)") {
            let rank = |found| match found {
                Use::Serve => 0,
                Use::ServeAndRevalidate => 1,
                Use::Revalidate => 2,
                Use::Withheld => 3,
            };
            let (young, old) = (aged(age), aged(age + more));
            prop_assert!(rank(asked(&OBEY, &line, &young)) <= rank(asked(&OBEY, &line, &old)));
            prop_assert!(usable_on_error(&young) >= usable_on_error(&old));
        }
    }
}
