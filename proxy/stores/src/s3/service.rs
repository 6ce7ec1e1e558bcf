//! One bucket, as it is asked: requests with a time limit each, and failures in words.

use super::{S3Addressing, S3Options, failure::Failure, transport::Transport};
use crate::WallClock;
use aws_sdk_s3::{
    Client,
    config::{
        AsyncSleep, BehaviorVersion, Config, Credentials, Region, RequestChecksumCalculation,
        ResponseChecksumValidation, Sleep, StalledStreamProtectionConfig, http::HttpResponse,
        retry::RetryConfig, timeout::TimeoutConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
};
use aws_smithy_async::time::TimeSource;
use std::{
    error::Error,
    fmt,
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tiergate_tiers::Connect;
use tokio::{
    runtime::Handle as Runtime,
    sync::watch,
    time::{sleep, timeout},
};

/// A bucket behind an endpoint.
pub(super) struct Service {
    pub(super) client: Client,
    pub(super) bucket: String,
    /// What every name begins with.
    pub(super) prefix: String,
    about: About,
    time_max: Duration,
    /// How many pieces of work run that nobody waits for.
    unattended: watch::Sender<usize>,
}

/// Bucket and endpoint, as messages name them.
struct About(String);

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Service {
    pub(super) fn new<C: Connect>(connector: C, clock: impl WallClock, options: &S3Options) -> Self {
        let S3Options { bucket, region, endpoint, addressing, prefix, credentials, tls, time_max, .. } =
            options;
        let key = Credentials::new(
            &credentials.access_key_id,
            &credentials.secret_access_key,
            credentials.session_token.clone(),
            None,
            "tiergate",
        );
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(Transport::new(connector, tls.clone()))
            .time_source(Calendar(clock))
            .sleep_impl(TokioSleep)
            .region(Region::new(region.clone()))
            .credentials_provider(key)
            .force_path_style(*addressing == S3Addressing::Path)
            // Retries are the engine's, and so is the budget for them.
            .retry_config(RetryConfig::disabled())
            // Each request has our own limit, and so has each piece of a body.
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            // Stores that are not Amazon's refuse what the SDK adds of itself. A body is signed all the same,
            // and the engine compares what it reads with the digest in the manifest.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
        config.set_endpoint_url(endpoint.clone());
        let place = endpoint.clone().unwrap_or_else(|| format!("s3 in {region}"));
        Self {
            client: Client::from_conf(config.build()),
            bucket: bucket.clone(),
            prefix: prefix.clone(),
            about: About(format!("bucket {bucket} of {place}")),
            time_max: *time_max,
            unattended: watch::Sender::new(0),
        }
    }

    /// One request, and its answer's head in time.
    pub(super) async fn call<T, E>(
        &self,
        doing: &str,
        sent: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, Failure>
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        // The SDK's futures are some kilobytes each.
        match timeout(self.time_max, Box::pin(sent)).await {
            Ok(answer) => answer.map_err(|error| Failure::new(&self.about, doing, &error)),
            Err(_elapsed) => Err(Failure::late(&self.about, doing, self.time_max)),
        }
    }

    /// A piece of a body, in time.
    pub(super) async fn in_time<T>(&self, doing: &str, piece: impl Future<Output = T>) -> Result<T, Failure> {
        let late = |_elapsed| Failure::late(&self.about, doing, self.time_max);
        timeout(self.time_max, piece).await.map_err(late)
    }

    pub(super) fn strange(&self, doing: &str, what: &str) -> Failure {
        Failure::strange(&self.about, doing, what)
    }

    pub(super) fn refused(&self, why: &str) -> Failure {
        Failure::refused(&self.about, why)
    }

    /// Runs what nobody waits for. Without a runtime, as at the end of a process, it is left undone.
    pub(super) fn unattended(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Ok(runtime) = Runtime::try_current() else { return };
        let counted = Counted::begin(&self.unattended);
        runtime.spawn(async move {
            work.await;
            drop(counted);
        });
    }

    /// Returns once nothing of that runs any more.
    pub(super) async fn settled(&self) {
        let mut count = self.unattended.subscribe();
        // It fails only when this very service is gone.
        let _ = count.wait_for(|count| *count == 0).await;
    }
}

/// One piece of work that nobody waits for, counted while it lives.
struct Counted(watch::Sender<usize>);

impl Counted {
    fn begin(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// The calendar that requests are signed by.
struct Calendar<K>(K);

impl<K> fmt::Debug for Calendar<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calendar")
    }
}

impl<K: WallClock> TimeSource for Calendar<K> {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.0.now().as_unix_millis())
    }
}

/// Waits as the runtime does, whose time a simulator may turn.
#[derive(Debug)]
struct TokioSleep;

impl AsyncSleep for TokioSleep {
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(sleep(duration))
    }
}
