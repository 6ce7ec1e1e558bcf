//! L3 with its rows in a real PostgreSQL, in a program that was built with it; and one that was not.

#[cfg(feature = "postgres")]
mod with {
    use crate::{
        durable::{FEED, FRESH, SIZE, config, outlives_the_process, purge, wait_for_l3},
        encrypting::Certified,
        harness::{Origin, Site, pattern, tiergate},
        postgres_server::{PASSWORD, Postgres, USER},
    };
    use std::{fs, thread};

    /// The index, with the password in a file.
    fn index(site: &Site, place: &str, more: &str) -> String {
        let file = site.path().join("password");
        fs::write(&file, format!("{PASSWORD}\n")).expect("a file in a directory of ours");
        format!("{{ postgres: {{ url: \"postgres://{USER}@{place}\", password_file: {file:?}{more} }} }}")
    }

    /// What L3 has outlives the process, and so does a purge, as with the other indexes.
    #[test]
    fn what_postgres_has_outlives_the_process() {
        for (feed, what) in [("", "url=http://site.example/a"), (FEED, "tag=pages")] {
            let server = Postgres::start(&[]);
            let place = format!("{}/postgres", server.authority());
            outlives_the_process(|site| index(site, &place, ""), feed, what);
        }
    }

    /// A purge at one server reaches another through the log beside the rows.
    #[test]
    fn a_purge_crosses_servers_through_postgres() {
        let server = Postgres::start(&[]);
        let place = format!("{}/postgres", server.authority());
        let sites: [Site; 2] = std::array::from_fn(|_| Site::new());
        let origins = [b"first".as_slice(), b"other"].map(|body| Origin::fixed(FRESH, body.to_vec()));
        let index = |site: &Site| index(site, &place, "");
        let feed = ", feed: { poll_ms: 20, lease_ms: 500 }";
        let memory = |site: &Site, origin: &Origin| {
            config(site, origin, &index(site), feed).replace("l0: null", "l0: { capacity: 64MiB }")
        };
        let servers = [0, 1].map(|number| sites[number].start(&memory(&sites[number], &origins[number])));
        let is_hit = |number: usize| servers[number].get("/a").cache_status().starts_with("tiergate; hit");
        for number in [0, 1] {
            while !is_hit(number) {
                thread::yield_now();
            }
        }
        let before = origins[1].targets().len();
        let (status, line) = purge(&servers[0], "tag=pages");
        assert_eq!((status, line.contains("\"feed\":\"told\"")), (200, true), "{line}");
        while origins[1].targets().len() == before {
            servers[1].get("/a");
        }
    }

    /// Over TLS the server's certificate is checked, name included; one that speaks none is not spoken to.
    #[test]
    fn postgres_is_spoken_to_over_tls() {
        let site = Site::new();
        let certified = Certified::new(site.path(), "127.0.0.1");
        let server = Postgres::start_over_tls(&certified.certificate, &certified.key);
        let trusted = format!(", ca_file: {:?}", certified.certificate);
        let place = |server: &Postgres| format!("{}/postgres?sslmode=require", server.authority());
        outlives_the_process(|site| index(site, &place(&server), &trusted), "", "url=http://site.example/a");
        let clear = Postgres::start(&[]);
        let stranger = Certified::new(site.path(), "localhost");
        let distrusted = format!(", ca_file: {:?}", stranger.certificate);
        for (server, trusted, why) in [
            (&server, &distrusted, "invalid peer certificate"),
            (&clear, &trusted, "the server does not speak TLS"),
        ] {
            let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
            let edge = site.start(&config(&site, &origin, &index(&site, &place(server), trusted), ""));
            assert_eq!(edge.get("/a").head.status, 200);
            site.wait_for_log(why);
            assert!(!site.log().contains(PASSWORD), "{}", site.log());
        }
    }

    /// A database that is away when the server starts is used once it is there.
    #[test]
    fn a_postgres_may_come_later() {
        let mut server = Postgres::start(&[]);
        server.stop();
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, pattern(SIZE)));
        let place = format!("{}/postgres", server.authority());
        let edge = site.start(&config(&site, &origin, &index(&site, &place, ""), ""));
        assert_eq!(edge.get("/a").head.status, 200);
        site.wait_for_log("a tier failed");
        server.restart();
        wait_for_l3(&edge);
    }

    /// A password that cannot be read stops the start, with its key.
    #[test]
    fn a_password_of_postgres_that_cannot_be_read_is_named() {
        let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
        for (password, expected) in [
            (
                "password_file: /no/such/file",
                "`storage.l3.index.postgres.password_file` is /no/such/file, which cannot",
            ),
            (
                "password_env: TIERGATE_NO_SUCH_VARIABLE",
                "`storage.l3.index.postgres.password_env` is TIERGATE_NO_SUCH_VARIABLE, which is not set",
            ),
        ] {
            let index = format!("{{ postgres: {{ url: \"postgres://edge@127.0.0.1:1/t\", {password} }} }}");
            let file = site.path().join("refused.yaml");
            fs::write(&file, config(&site, &origin, &index, "")).expect("a file in a directory of ours");
            let output = tiergate(&["serve", "-c", file.to_str().expect("temporary paths are UTF-8")]);
            let said = String::from_utf8(output.stderr).expect("it writes text");
            assert_eq!(output.status.code(), Some(2));
            assert!(said.contains(expected), "{said}");
        }
    }
}

/// A program that was built without it says so, in one line, and does not start.
#[cfg(not(feature = "postgres"))]
#[test]
fn a_program_without_postgres_says_so() {
    use crate::{
        durable::{FRESH, config},
        harness::{Origin, Site, tiergate},
    };
    let (site, origin) = (Site::new(), Origin::fixed(FRESH, Vec::new()));
    let file = site.path().join("refused.yaml");
    let index = "{ postgres: \"postgres://edge@127.0.0.1/t\" }";
    std::fs::write(&file, config(&site, &origin, index, "")).expect("a file in a directory of ours");
    let output = tiergate(&["serve", "-c", file.to_str().expect("temporary paths are UTF-8")]);
    let said = String::from_utf8(output.stderr).expect("it writes text");
    assert_eq!(output.status.code(), Some(2), "{said}");
    let expected = "`storage.l3.index.postgres` names a store that this program was built without: build it with \
                    `cargo build --release -p tiergate --features postgres`, or name another store";
    assert!(said.contains(expected) && said.lines().count() == 1, "{said}");
}
