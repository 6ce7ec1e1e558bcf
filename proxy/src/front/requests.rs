//! How many requests clients may send: each address a second, and all of them at a time.
//!
//! Both are asked once for each request, before anybody looks for it, whatever it came over. What is known of
//! an address is one time, in a table that never grows: own code, and not a crate's, because those keep a row
//! for each address that was ever seen, and read a clock of their own. Start at [`Requests::admit`].

use crate::{
    config::{Rate, RequestLimits},
    response::{Account, ErrorPage},
};
use std::{
    hash::BuildHasher as _,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use xxhash_rust::xxh3::Xxh3Builder;

/// Who may send a request now.
#[derive(Debug)]
pub(super) struct Requests {
    rates: Option<Rates>,
    under_way: Option<Arc<Semaphore>>,
}

/// A request that is being answered, and counts until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay {
    _permit: OwnedSemaphorePermit,
}

/// Why a request is turned away before anybody looks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TurnedAway {
    /// Its address has sent too many. One more may be sent after this time.
    TooFast(Duration),
    /// Too many are under way.
    TooMany,
}

impl TurnedAway {
    /// What the client is told.
    pub(super) fn page(self) -> ErrorPage {
        match self {
            Self::TooFast(wait) => ErrorPage::too_fast(wait),
            Self::TooMany => ErrorPage::BUSY,
        }
    }

    pub(super) fn account(self) -> Account {
        Account::own(match self {
            Self::TooFast(_) => "too-many-requests-of-address",
            Self::TooMany => "too-many-requests",
        })
    }
}

impl Requests {
    /// `id` is what no client knows.
    pub(super) fn new(limits: &RequestLimits, id: u64) -> Self {
        let permits = |most: NonZeroU32| Arc::new(Semaphore::new(most.get() as usize));
        Self {
            rates: limits.rate.map(|rate| Rates::new(rate, id)),
            under_way: limits.under_way_max.map(permits),
        }
    }

    /// May one more be answered, which comes from this address?
    pub(super) fn admit(&self, address: impl FnOnce() -> IpAddr) -> Result<Option<UnderWay>, TurnedAway> {
        if let Some(rates) = &self.rates {
            rates.admit(address()).map_err(TurnedAway::TooFast)?;
        }
        let Some(under_way) = &self.under_way else { return Ok(None) };
        let permit = Arc::clone(under_way).try_acquire_owned().map_err(|_none_left| TurnedAway::TooMany)?;
        Ok(Some(UnderWay { _permit: permit }))
    }
}

/// Places in a row. Two rows take half a megabyte.
const PLACES: usize = 1 << 15;

/// When each address could send its next request at the earliest, were there no bursts (the generic cell rate
/// algorithm). An address has a place in each row, which it shares with others, and the earlier time counts:
/// to be taken for another one, both places of an address must be theirs. Nobody who does not know the
/// seeds can aim.
#[derive(Debug)]
struct Rates {
    rows: [Box<[AtomicU64]>; 2],
    /// No client knows them, and so who shares a place with whom.
    seeds: [u64; 2],
    began: Instant,
    /// Between two requests, in nanoseconds.
    interval: u64,
    /// How far ahead of now the time of an address may be.
    ahead_max: u64,
}

impl Rates {
    fn new(Rate { per_s, burst }: Rate, id: u64) -> Self {
        let row = || (0..PLACES).map(|_| AtomicU64::new(0)).collect();
        let interval = Duration::from_secs(1).as_nanos() as u64 / u64::from(per_s.get());
        Self {
            rows: [row(), row()],
            seeds: [id, id.rotate_left(32)],
            began: Instant::now(),
            interval,
            ahead_max: interval.saturating_mul(u64::from(burst.get())),
        }
    }

    /// Counts a request, or says when one would be admitted.
    fn admit(&self, address: IpAddr) -> Result<(), Duration> {
        let client = one_client(address);
        let place = |row: usize| {
            let hash = Xxh3Builder::new().with_seed(self.seeds[row]).hash_one(client);
            &self.rows[row][usize::try_from(hash % PLACES as u64).unwrap_or_default()]
        };
        let (mut own, mut other) = (place(0), place(1));
        if other.load(Ordering::Relaxed) < own.load(Ordering::Relaxed) {
            std::mem::swap(&mut own, &mut other);
        }
        let now = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let limit = now.saturating_add(self.ahead_max);
        let next = |time: u64| time.max(now).saturating_add(self.interval);
        let counted = own.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |time| {
            Some(next(time)).filter(|next| *next <= limit)
        });
        match counted {
            Ok(before) => {
                other.fetch_max(next(before), Ordering::Relaxed);
                Ok(())
            }
            Err(time) => Err(Duration::from_nanos(next(time).saturating_sub(limit))),
        }
    }
}

/// Whose connections and requests are counted together: those of one IPv4 address, or of one network of IPv6
/// (the first 64 bits, which one customer has).
pub(crate) fn one_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn rates(per_s: u32, burst: u32) -> Rates {
        let number = |number| NonZeroU32::new(number).expect("it is not zero");
        Rates::new(Rate { per_s: number(per_s), burst: number(burst) }, 7)
    }

    /// A burst is admitted at once, and after that one request in each interval; who is refused hears when,
    /// and it costs nothing.
    #[tokio::test(start_paused = true)]
    async fn an_address_has_a_burst_and_then_its_rate() {
        let rates = rates(10, 5);
        let client = address("10.0.0.1");
        let admitted = |rates: &Rates| (0..100).filter(|_| rates.admit(client).is_ok()).count();
        assert_eq!(admitted(&rates), 5);
        assert_eq!(rates.admit(client), Err(Duration::from_millis(100)));
        tokio::time::advance(Duration::from_millis(99)).await;
        assert_eq!(rates.admit(client), Err(Duration::from_millis(1)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(admitted(&rates), 1);
        let mut total = 0;
        for _ in 0..100 {
            tokio::time::advance(Duration::from_millis(10)).await;
            total += admitted(&rates);
        }
        assert_eq!(total, 10, "in a second");
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(admitted(&rates), 5, "what was not used is not saved up beyond a burst");
    }

    /// Each address has its own rate, an IPv4 address however it is written; a network of IPv6 is one.
    #[tokio::test(start_paused = true)]
    async fn addresses_are_counted_apart() {
        let rates = rates(1, 1);
        for (text, is_admitted) in [
            ("10.0.0.1", true),
            ("10.0.0.2", true),
            ("::ffff:10.0.0.1", false),
            ("2001:db8::1", true),
            ("2001:db8::ffff:2", false),
            ("2001:db8:0:1::1", true),
        ] {
            assert_eq!(rates.admit(address(text)).is_ok(), is_admitted, "{text}");
        }
    }

    /// A thousand addresses that send as fast as they can cost others next to nothing, and no memory.
    #[tokio::test(start_paused = true)]
    async fn a_crowd_takes_nobody_elses_place() {
        let rates = rates(1, 10);
        for attacker in 0..1000_u32 {
            for _ in 0..20 {
                let _refused = rates.admit(IpAddr::V4((0x0a00_0000 + attacker).into())).is_err();
            }
        }
        let refused = (0..10_000_u32)
            .filter(|other| rates.admit(IpAddr::V4((0xc0a8_0000 + other).into())).is_err())
            .count();
        // Both places of an address are taken with a chance of (1000 / 32768)², about one in a thousand.
        assert!(refused < 100, "{refused} of 10,000 were taken for somebody else");
    }

    /// No more are under way than may be, and one that ends makes room.
    #[test]
    fn requests_under_way_are_bounded() {
        let under_way_max = NonZeroU32::new(2);
        let requests = Requests::new(&RequestLimits { under_way_max, ..RequestLimits::default() }, 7);
        let admit = || requests.admit(|| unreachable!("no rate is asked for"));
        let (one, _two) = (admit().expect("the first"), admit().expect("the second"));
        assert_eq!(admit().expect_err("too many"), TurnedAway::TooMany);
        drop(one);
        drop(admit().expect("there is room again"));
    }
}
