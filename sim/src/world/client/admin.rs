//! What operators ask at the admin listener: purges as forms, looks at what is stored, and mistakes, each of
//! which must be refused with its own status.

use super::{
    Client,
    odd::{Answer, exchanged},
};
use crate::world::{
    catalogue::{AUTHORITY, tag_name},
    edge::{ADMIN_PORT, ADMIN_TOKEN},
    workload::Job,
};
use tiergate_invariants::Violation;
use tiergate_scenarios::{ADMIN_REQUESTS, Figure, PurgeOf};
use tokio::time::timeout;

use Answer::Is;

/// `{u}` is the object's URL, `{T}` the token; lines end with CR LF, which `|` stands for. A body comes after
/// `#`, with its length in front.
const REQUESTS: [(&str, Answer); ADMIN_REQUESTS] = [
    ("GET /object?url={u} HTTP/1.1|Authorization: Bearer {T}", Answer::Look),
    ("GET /readyz HTTP/1.1", Answer::Good),
    ("GET /healthz HTTP/1.1", Is(200)),
    ("GET / HTTP/1.1|Authorization: Bearer {T}", Is(200)),
    ("GET /nothing HTTP/1.1|Authorization: Bearer {T}", Is(404)),
    ("GET /purge HTTP/1.1|Authorization: Bearer {T}", Is(405)),
    ("POST /object HTTP/1.1|Authorization: Bearer {T}#url={u}", Is(405)),
    ("GET /object?url={u} HTTP/1.1", Is(401)),
    ("GET /object?url={u} HTTP/1.1|Authorization: Bearer another-token-than-ours", Is(401)),
    ("GET /object?url={u}&url={u} HTTP/1.1|Authorization: Bearer {T}", Is(400)),
    ("GET /object HTTP/1.1|Authorization: Bearer {T}", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}|Origin: http://elsewhere.test#all=true", Is(403)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#url={u}&url={u}", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#url={u}&tag=a", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#nobody=1", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#all=perhaps", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#soft=true&all=false", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#tag=%2", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#tag=%ff", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#tag=", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#tag=a+b", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#{tags}", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#tag={long}", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#url=/no-host", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#url=ftp://example.test/", Is(400)),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}#prefix=http://example.test/{long}{long}{long}", Is(400)),
    (
        "POST /purge HTTP/1.1|Authorization: Bearer {T}#tag={long}{long}{long}{long}{long}{long}{long}",
        Is(413),
    ),
    ("POST /purge HTTP/1.1|Authorization: Bearer {T}|Content-Type: text/plain#all=true", Is(415)),
];

impl Client {
    /// Sends the request with this number, and holds the edge to what must come of it.
    pub(super) async fn ask_admin(&self, job: Job, number: u8) {
        let (request, wanted) = REQUESTS[usize::from(number)];
        let Some((status, body)) = self.told_by_admin(job, request).await else { return };
        self.stage.log.count(Figure::AdminAnswered, 1);
        let is_right = match wanted {
            // A tier that is silent is said to be.
            Answer::Look => status == 504 || (status == 200 && tells_of_tiers(&body)),
            Is(only) => status == only,
            Answer::Good => matches!(status, 200 | 503),
            Answer::None | Answer::Reset => true,
        };
        if !is_right {
            let body = String::from_utf8_lossy(&body);
            let detail = format!(
                "admin request {number}, {request:?}, was answered {status}, {body:?}, where {wanted:?} is right"
            );
            self.stage.log.fail(Violation { rule: "admin", detail });
        }
    }

    /// Purges by a form. Says whether it is confirmed.
    pub(super) async fn purge_by_form(&self, job: Job, what: PurgeOf) -> bool {
        let object = self.stage.catalogue.object(job.object);
        let mut form = match what {
            PurgeOf::Key | PurgeOf::SoftKey => "url={u}".to_owned(),
            PurgeOf::Tag | PurgeOf::SoftTag => {
                format!("tag={}", object.tag.map(tag_name).unwrap_or_default())
            }
            PurgeOf::Prefix | PurgeOf::SoftPrefix => {
                format!("prefix={}://{AUTHORITY}{}/", job.scheme_name(), object.folder())
            }
            PurgeOf::All | PurgeOf::SoftAll => "all=true".to_owned(),
        };
        if what.is_soft() {
            form.push_str("&soft=true");
        }
        let request = format!("POST /purge HTTP/1.1|Authorization: Bearer {{T}}#{form}");
        let told = self.told_by_admin(job, &request).await;
        if let Some((status @ 400..=500, body)) = &told {
            let body = String::from_utf8_lossy(body);
            let detail = format!("a purge of {form} was answered {status}, {body:?}");
            self.stage.log.fail(Violation { rule: "admin", detail });
        }
        told.is_some_and(|(status, _)| status == 200)
    }

    async fn told_by_admin(&self, job: Job, request: &str) -> Option<(u16, Vec<u8>)> {
        let url =
            format!("{}://{AUTHORITY}{}", job.scheme_name(), self.stage.catalogue.object(job.object).target);
        let tags = (0..65).map(|tag| format!("tag={tag}&")).collect::<String>();
        let said = |text: &str| {
            let text = text.replace("{u}", &encoded(&url)).replace("{T}", ADMIN_TOKEN);
            text.replace("{tags}", &tags).replace("{long}", &"a".repeat(10_000))
        };
        let (head, body) = request.split_once('#').map_or((request, None), |(head, body)| (head, Some(body)));
        let mut text = said(head).replace('|', "\r\n") + "\r\nHost: admin.test\r\n";
        if let Some(body) = body.map(said) {
            if !text.contains("Content-Type") {
                text.push_str("Content-Type: application/x-www-form-urlencoded\r\n");
            }
            text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
        } else {
            text.push_str("\r\n");
        }
        timeout(self.time_max(), exchanged(&self.stage, job, ADMIN_PORT, &text)).await.ok().flatten()
    }
}

/// As in a form.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// An object with what each tier knows.
fn tells_of_tiers(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|told| told["key"].is_string() && told["l0"].is_array())
}
