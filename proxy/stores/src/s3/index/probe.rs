//! Whether a bucket keeps the conditions that an index stands on.
//!
//! Many writers at once are the point: some services look at the condition and write afterwards, and let
//! several win. One race proves nothing for ever, but a service that does not serialize shows it here.

use crate::s3::{failure::Failure, service::Service};
use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use std::sync::Arc;
use tokio::task::JoinSet;

/// Writers at once. Of 24, a service that looks first and writes afterwards let three or four win.
const WRITERS: usize = 24;

const DOING: &str = "trying conditional writes";

/// What a writer demands.
#[derive(Clone, Debug)]
enum Condition {
    NoObject,
    Tag(String),
}

/// `Err` inside says what the bucket does wrong; outside, that it could not be asked.
pub(super) async fn try_bucket(service: &Arc<Service>, chance: u128) -> Result<Result<(), String>, Failure> {
    let object = format!("{}probe/{chance:032x}", service.prefix);
    let told = races(service, &object).await;
    let delete = service.client.delete_object().bucket(&service.bucket).key(&object);
    let deleted = service.call(DOING, delete.send()).await;
    let told = told?;
    deleted?;
    Ok(told.map_err(|wrong| {
        let why = format!(
            "it cannot be an index: {wrong}: choose another index, or a service that keeps conditions"
        );
        service.refused(&why).to_string()
    }))
}

async fn races(service: &Arc<Service>, object: &str) -> Result<Result<(), String>, Failure> {
    let won = race(service, object, &Condition::NoObject).await?;
    if won.len() != 1 {
        let won = won.len();
        return Ok(Err(format!(
            "of {WRITERS} writers at once with If-None-Match: *, {won} were told that they won"
        )));
    }
    let Some(tag) = read(service, object, &won[0]).await? else {
        return Ok(Err("it holds another body than the one of the writer that won".to_owned()));
    };
    let replaced = race(service, object, &Condition::Tag(tag.clone())).await?;
    if replaced.len() != 1 {
        let won = replaced.len();
        return Ok(Err(format!(
            "of {WRITERS} writers at once with the same If-Match, {won} were told that they won"
        )));
    }
    if read(service, object, &replaced[0]).await?.is_none() {
        return Ok(Err("it holds another body than the one of the writer that won".to_owned()));
    }
    // The tag of what was replaced.
    let delete = service.client.delete_object().bucket(&service.bucket).key(object).if_match(tag);
    match service.call(DOING, delete.send()).await {
        Ok(_) => Ok(Err("it deletes what has another tag than If-Match says".to_owned())),
        Err(failure) if failure.is_condition() => Ok(Ok(())),
        Err(failure) => Err(failure),
    }
}

/// The bodies of those who were told that they won.
async fn race(service: &Arc<Service>, object: &str, condition: &Condition) -> Result<Vec<Bytes>, Failure> {
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let service = Arc::clone(service);
        let body = Bytes::from(format!("{condition:?} {writer}"));
        let put = service.client.put_object().bucket(&service.bucket).key(object);
        let put = put.body(ByteStream::from(body.clone()));
        let put = match condition {
            Condition::NoObject => put.if_none_match("*"),
            Condition::Tag(tag) => put.if_match(tag),
        };
        writers.spawn(async move {
            match service.call(DOING, put.send()).await {
                Ok(_) => Ok(Some(body)),
                Err(failure) if failure.is_condition() => Ok(None),
                Err(failure) => Err(failure),
            }
        });
    }
    let mut won = Vec::new();
    while let Some(written) = writers.join_next().await {
        let written = written.map_err(|_| service.refused("the process is shutting down"))?;
        won.extend(written?);
    }
    Ok(won)
}

/// The object's tag, if it has this body.
async fn read(service: &Service, object: &str, wanted: &Bytes) -> Result<Option<String>, Failure> {
    let get = service.client.get_object().bucket(&service.bucket).key(object);
    let output = service.call(DOING, get.send()).await?;
    let body = service.in_time(DOING, output.body.collect()).await?;
    let body = body.map_err(|error| service.strange(DOING, &format!("a body that broke off ({error})")))?;
    let tag = output.e_tag.ok_or_else(|| service.strange(DOING, "no ETag"))?;
    Ok((body.into_bytes() == wanted).then_some(tag))
}
