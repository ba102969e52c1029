//! Session tickets (RFC 8446 §4.6.1, RFC 5077). The client keeps the encrypted session and sends it again.
//! Every thread, and every process with the same key, can resume it; the server stores nothing.
//!
//! A ticket is `key name (16) | nonce (12) | ciphertext | tag (16)`, sealed with AES-256-GCM-SIV, which
//! stays safe with a random nonce for every handshake. The ciphertext holds the time of issue (8 bytes, Unix
//! seconds) and the session. The tag covers the key's name and the *context*: a digest of everything that is
//! not checked again when a session is resumed, which is the listener's certificate names, client
//! authorities and revocation lists. A ticket of another context is ignored. So a client cannot use a ticket
//! from another listener, or from before its certificate was revoked, to avoid the check.

mod key;

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use zeroize::Zeroizing;

use super::Digest;

use key::SECRET;
pub use key::{TicketKey, TicketKeyError};

/// The lifetime of a ticket in seconds: half a day, the default of rustls.
const LIFETIME: u32 = 12 * 60 * 60;

/// How long one key of the process encrypts, in seconds. Afterwards it decrypts for the same time.
const ROTATION: u64 = LIFETIME as u64 / 2;

/// The random ticket keys of the process, for listeners without key files. They exist in memory only and
/// change every six hours. A reload keeps them, and an upgrade hands them over.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<RwLock<OwnKeys>>);

#[derive(Debug)]
struct OwnKeys {
    current: Arc<TicketKey>,
    previous: Option<Arc<TicketKey>>,
    /// When the next key takes over, in Unix seconds.
    rotate_at: u64,
}

/// The format of [`Tickets::export`]: its first byte.
const FORMAT: u8 = 1;

impl Tickets {
    /// A random key that is used from `now`, in Unix seconds.
    ///
    /// # Errors
    /// [`TicketKeyError::Failed`] if the system has no randomness.
    pub fn new(now: u64) -> Result<Self, TicketKeyError> {
        let current = Arc::new(TicketKey::random()?);
        let keys = OwnKeys { current, previous: None, rotate_at: now.saturating_add(ROTATION) };
        Ok(Self(Arc::new(RwLock::new(keys))))
    }

    /// The keys for a successor, which resumes the sessions of this process. The keys open every ticket, so
    /// they are sent from process to process and never written to a file.
    pub fn export(&self) -> Zeroizing<Vec<u8>> {
        let keys = self.0.read();
        // Enough capacity for all, so that the vector leaves no copy behind when it grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(1 + 8 + 2 * SECRET));
        bytes.push(FORMAT);
        bytes.extend(keys.rotate_at.to_be_bytes());
        for key in std::iter::once(&keys.current).chain(&keys.previous) {
            bytes.extend(key.secret());
        }
        bytes
    }

    /// Continues with the keys of a predecessor from `now`, in Unix seconds. Returns false, and keeps the
    /// own keys, if `bytes` are not from [`export`](Self::export).
    pub fn adopt(&self, bytes: &[u8], now: u64) -> bool {
        let Some(mut keys) = OwnKeys::read(bytes) else { return false };
        // The predecessor's clock may be wrong. No key is used for longer than one rotation.
        keys.rotate_at = keys.rotate_at.min(now.saturating_add(ROTATION));
        *self.0.write() = keys;
        true
    }

    /// The key that encrypts and the one before it. Changes the key if the time has come.
    fn keys(&self, now: u64) -> (Arc<TicketKey>, Option<Arc<TicketKey>>) {
        if now >= self.0.read().rotate_at
            // Without randomness the current key stays in use.
            && let Ok(next) = TicketKey::random()
        {
            let mut keys = self.0.write();
            // Another thread may have changed the key meanwhile.
            if now >= keys.rotate_at {
                keys.previous = Some(std::mem::replace(&mut keys.current, Arc::new(next)));
                keys.rotate_at = now.saturating_add(ROTATION);
            }
        }
        let keys = self.0.read();
        (keys.current.clone(), keys.previous.clone())
    }
}

impl OwnKeys {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (&[FORMAT], rest) = bytes.split_first_chunk::<1>()? else { return None };
        let (rotate_at, rest) = rest.split_first_chunk::<8>()?;
        let (current, rest) = rest.split_first_chunk::<SECRET>()?;
        let key = |secret| Some(Arc::new(TicketKey::from_secret(secret).ok()?));
        let previous = match rest {
            [] => None,
            rest => Some(key(rest.try_into().ok()?)?),
        };
        Some(Self { current: key(current)?, previous, rotate_at: u64::from_be_bytes(*rotate_at) })
    }
}

/// Encrypts and decrypts the tickets of one listener.
#[derive(Debug)]
pub(super) struct Ticketer {
    keys: Keys,
    context: Digest,
    time: Arc<dyn TimeProvider>,
    /// The Unix time in seconds from which no session is resumed.
    ends: Option<u64>,
}

#[derive(Debug)]
enum Keys {
    /// Keys from files: the first encrypts, all decrypt. Never empty.
    Shared(Vec<Arc<TicketKey>>),
    Own(Tickets),
}

impl Ticketer {
    /// Uses the keys from files, or those of the process if there are none.
    pub fn new(
        shared: &[Arc<TicketKey>],
        own: &Tickets,
        context: Digest,
        time: Arc<dyn TimeProvider>,
    ) -> Self {
        let keys = match shared {
            [] => Keys::Own(own.clone()),
            shared => Keys::Shared(shared.to_vec()),
        };
        Self { keys, context, time, ends: None }
    }

    /// Resumes no session from this Unix time in seconds on, because a revocation list that was used in the
    /// first handshake has expired.
    pub fn until(self, ends: Option<u64>) -> Self {
        Self { ends, ..self }
    }

    fn now(&self) -> Option<u64> {
        self.time.current_time().map(|now| now.as_secs())
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let now = self.now()?;
        match &self.keys {
            Keys::Shared(keys) => keys.first()?.seal(&self.context, now, plain),
            Keys::Own(own) => own.keys(now).0.seal(&self.context, now, plain),
        }
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let now = self.now()?;
        if self.ends.is_some_and(|ends| ends <= now) {
            return None;
        }
        let open = |key: &Arc<TicketKey>| key.open(&self.context, cipher);
        let (issued, session) = match &self.keys {
            Keys::Shared(keys) => keys.iter().find_map(open)?,
            Keys::Own(own) => {
                let (current, previous) = own.keys(now);
                open(&current).or_else(|| open(&previous?))?
            }
        };
        // The ticket may be from a machine whose clock is ahead.
        (now.saturating_sub(issued) <= u64::from(LIFETIME)).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use proptest::prelude::*;
    use rustls_pki_types::UnixTime;

    use super::key::NAME;
    use super::*;

    #[derive(Debug, Default)]
    struct Clock(AtomicU64);

    impl TimeProvider for Clock {
        fn current_time(&self) -> Option<UnixTime> {
            Some(UnixTime::since_unix_epoch(Duration::from_secs(self.0.load(Ordering::Relaxed))))
        }
    }

    impl Clock {
        fn at(seconds: u64) -> Arc<Self> {
            Arc::new(Self(AtomicU64::new(seconds)))
        }

        fn set(&self, seconds: u64) {
            self.0.store(seconds, Ordering::Relaxed);
        }
    }

    const START: u64 = 1_000_000;
    const HERE: Digest = Digest([1; 32]);

    fn file(seed: u8) -> Arc<TicketKey> {
        let bytes: Vec<u8> = (0..80).map(|index: u8| index.wrapping_mul(7).wrapping_add(seed)).collect();
        Arc::new(TicketKey::from_file(&bytes).expect("a key"))
    }

    fn ticketer(shared: &[Arc<TicketKey>], own: &Tickets, clock: &Arc<Clock>) -> Ticketer {
        Ticketer::new(shared, own, HERE, clock.clone())
    }

    fn own() -> Tickets {
        Tickets::new(START).expect("randomness")
    }

    #[test]
    fn the_first_file_encrypts_and_all_decrypt() {
        let clock = Clock::at(START);
        let (old, new, unknown) = (file(1), file(2), file(3));
        let before =
            ticketer(std::slice::from_ref(&old), &own(), &clock).encrypt(b"session").expect("sealed");
        // Another process with the same files, and the key rotated.
        let after = ticketer(&[new.clone(), old.clone()], &own(), &clock);
        assert_eq!(after.decrypt(&before).as_deref(), Some(&b"session"[..]));
        let ticket = after.encrypt(b"session").expect("sealed");
        assert_eq!(ticketer(&[new], &own(), &clock).decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert_eq!(ticketer(&[old], &own(), &clock).decrypt(&ticket), None);
        assert_eq!(ticketer(&[unknown], &own(), &clock).decrypt(&before), None);
        assert_eq!(ticketer(&[], &own(), &clock).decrypt(&before), None);
    }

    #[test]
    fn a_ticket_is_good_for_half_a_day_and_in_its_own_context() {
        let clock = Clock::at(START);
        let keys = [file(1)];
        let here = ticketer(&keys, &own(), &clock);
        let ticket = here.encrypt(b"session").expect("sealed");
        clock.set(START + u64::from(LIFETIME));
        assert!(here.decrypt(&ticket).is_some());
        clock.set(START + u64::from(LIFETIME) + 1);
        assert_eq!(here.decrypt(&ticket), None);
        clock.set(START - 60);
        assert!(here.decrypt(&ticket).is_some(), "the clock of another machine");
        let elsewhere = Ticketer::new(&keys, &own(), Digest([2; 32]), clock.clone());
        assert_eq!(elsewhere.decrypt(&ticket), None);
    }

    #[test]
    fn no_session_is_resumed_once_what_it_was_spared_has_expired() {
        let clock = Clock::at(START);
        let ticketer = ticketer(&[], &own(), &clock).until(Some(START + 10));
        let ticket = ticketer.encrypt(b"session").expect("sealed");
        clock.set(START + 9);
        assert!(ticketer.decrypt(&ticket).is_some());
        clock.set(START + 10);
        assert_eq!(ticketer.decrypt(&ticket), None);
    }

    #[test]
    fn own_keys_rotate_and_the_last_one_still_decrypts() {
        let clock = Clock::at(START);
        let own = own();
        let ticketer = ticketer(&[], &own, &clock);
        let first = ticketer.encrypt(b"first").expect("sealed");
        clock.set(START + ROTATION);
        let second = ticketer.encrypt(b"second").expect("sealed");
        assert_ne!(first[..NAME], second[..NAME]);
        assert!(ticketer.decrypt(&first).is_some() && ticketer.decrypt(&second).is_some());
        clock.set(START + 2 * ROTATION);
        let third = ticketer.encrypt(b"third").expect("sealed");
        assert_eq!(ticketer.decrypt(&first), None);
        assert!(ticketer.decrypt(&second).is_some() && ticketer.decrypt(&third).is_some());
    }

    #[test]
    fn a_successor_takes_over_the_own_keys() {
        let clock = Clock::at(START);
        let own = own();
        let before = ticketer(&[], &own, &clock);
        let first = before.encrypt(b"first").expect("sealed");
        assert_eq!(own.export().len(), 1 + 8 + SECRET);
        clock.set(START + ROTATION);
        let second = before.encrypt(b"second").expect("sealed");
        let exported = own.export();
        assert_eq!(exported.len(), 1 + 8 + 2 * SECRET);
        let successor = self::own();
        let after = ticketer(&[], &successor, &clock);
        let unused = after.encrypt(b"unused").expect("sealed");
        assert!(successor.adopt(&exported, START + ROTATION));
        assert_eq!(after.decrypt(&unused), None);
        assert!(after.decrypt(&first).is_some() && after.decrypt(&second).is_some());
        assert_eq!(after.encrypt(b"x").expect("sealed")[..NAME], second[..NAME], "and the same key goes on");
        for damaged in [&exported[..40], &exported[1..], &[], &[&exported[..], &[0]].concat()] {
            assert!(!successor.adopt(damaged, START), "{} bytes", damaged.len());
        }
        assert!(after.decrypt(&first).is_some(), "nothing has changed");
    }

    #[test]
    fn no_clock_of_a_predecessor_makes_a_key_last_longer() {
        let clock = Clock::at(START);
        let ahead = Tickets::new(START + 100 * ROTATION).expect("randomness");
        let successor = own();
        assert!(successor.adopt(&ahead.export(), START));
        let ticketer = ticketer(&[], &successor, &clock);
        let first = ticketer.encrypt(b"first").expect("sealed");
        clock.set(START + ROTATION);
        assert_ne!(first[..NAME], ticketer.encrypt(b"second").expect("sealed")[..NAME]);
    }

    #[test]
    fn keys_do_not_show_themselves() {
        let shown = format!("{:?} {:?}", file(1), own());
        assert!(shown.matches("TicketKey(not shown)").count() == 2, "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_damaged_ticket_is_read(
            session in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0..8u8,
        ) {
            let clock = Clock::at(START);
            let ticketer = ticketer(&[file(1)], &own(), &clock);
            let mut ticket = ticketer.encrypt(&session).expect("sealed");
            prop_assert_eq!(ticketer.decrypt(&ticket), Some(session));
            let at = at.index(ticket.len());
            prop_assert_eq!(ticketer.decrypt(&ticket[..at]), None);
            ticket[at] ^= 1 << bit;
            prop_assert_eq!(ticketer.decrypt(&ticket), None);
        }
    }
}
