//! What a seed stands for: the numbers of one run.

use std::time::Duration;

use delivery::gates::HostLimits;
use delivery::runner::Settings;
use domain::backoff::Backoff;
use store::conformance::world::Dice;

/// Which trouble there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Nothing but graceful stops, on a store that is slow and fails now and then. Nobody may get anything twice.
    Calm,
    /// Nodes crash and stall, and the store's answers get lost.
    Stormy,
}

/// What happens to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It is gone between two instructions, and another one starts later.
    Crash { back_after: Duration },
    /// It stands still, as a process that gets no time does, and goes on as if nothing had been.
    Stall { lasts: Duration },
    /// It is asked to stop, ends, and another one starts.
    Stop { grace: Duration },
}

/// How often what fails, out of a thousand, and how long it takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoreFaults {
    pub(crate) refused: usize,
    pub(crate) answer_lost: usize,
    pub(crate) latency_ms: usize,
}

/// The same of the gateways.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GatewayFaults {
    pub(crate) retry: usize,
    pub(crate) retry_after: usize,
    pub(crate) hang: usize,
    /// The gateway takes a delivery, and the answer never comes.
    pub(crate) answer_lost: usize,
    pub(crate) credential: usize,
    pub(crate) latency_ms: usize,
    /// After which time a request is given up.
    pub(crate) timeout: Duration,
}

/// A publish to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// When it is made, from the start on.
    pub(crate) at: Duration,
    /// How much later it is to be sent.
    pub(crate) sent_after: Option<Duration>,
    /// Whether the request has a key, and is repeated until it is answered.
    pub(crate) has_key: bool,
    /// How long after it was made it is called off.
    pub(crate) cancelled_after: Option<Duration>,
}

/// The numbers of one run.
#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) mood: Mood,
    pub(crate) devices: usize,
    pub(crate) interests: usize,
    pub(crate) users: usize,
    /// How many devices of a thousand are dead, and how many are always refused.
    pub(crate) dead: usize,
    pub(crate) refused: usize,
    pub(crate) nodes: usize,
    pub(crate) settings: Settings,
    pub(crate) store: StoreFaults,
    pub(crate) gateway: GatewayFaults,
    pub(crate) publishes: Vec<Plan>,
    /// When which device is deleted by its owner.
    pub(crate) deletions: Vec<(Duration, usize)>,
    /// Which time to live they have, in seconds; none where it is not to end.
    pub(crate) time_to_live_secs: Option<usize>,
    /// When what happens to which node.
    pub(crate) blows: Vec<(Duration, usize, Blow)>,
    /// When all trouble ends.
    pub(crate) trouble: Duration,
}

fn between(dice: &mut Dice, least: usize, most: usize) -> usize {
    least + dice.roll(most - least + 1)
}

fn millis(dice: &mut Dice, least: usize, most: usize) -> Duration {
    Duration::from_millis(between(dice, least, most) as u64)
}

/// Small as often as large.
fn scaled(dice: &mut Dice, least: usize, most: usize) -> usize {
    let most = match dice.roll(3) {
        0 => least + (most - least) / 20,
        1 => least + (most - least) / 5,
        _ => most,
    };
    between(dice, least, most)
}

impl Plot {
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mood = match dice.roll(4) {
            0 => Mood::Calm,
            _ => Mood::Stormy,
        };
        let trouble = millis(dice, 2_000, 60_000);
        let nodes = between(dice, 1, 3);
        let settings = settings(dice, mood);
        let lease = settings.lease;
        let mut often = |most: usize| match dice.roll(3) {
            0 => 0,
            _ => dice.roll(most + 1),
        };
        let stormy = |rate: usize| if mood == Mood::Calm { 0 } else { rate };
        let store = StoreFaults {
            refused: often(if mood == Mood::Calm { 50 } else { 100 }),
            answer_lost: stormy(often(60)),
            latency_ms: often(80),
        };
        let gateway = GatewayFaults {
            retry: often(200),
            retry_after: often(60),
            hang: often(30),
            answer_lost: stormy(often(30)),
            credential: often(8),
            latency_ms: often(400),
            timeout: Duration::from_secs(1 + often(9) as u64),
        };
        let (dead, refused) = (often(150), often(100));
        let length = usize::try_from(trouble.as_millis()).unwrap();
        let publishes = (0..between(dice, 1, 5))
            .map(|_| Plan {
                at: millis(dice, 0, length / 2),
                sent_after: (dice.roll(4) == 0).then(|| millis(dice, 1, length)),
                has_key: dice.roll(3) == 0,
                cancelled_after: (dice.roll(10) == 0).then(|| millis(dice, 1, length)),
            })
            .collect();
        let devices = scaled(dice, 1, 600);
        let deletions = match dice.roll(3) {
            0 => (0..=dice.roll(20))
                .map(|_| (millis(dice, 0, length), dice.roll(devices)))
                .collect(),
            _ => Vec::new(),
        };
        let blows = (0..scaled(dice, 0, 20))
            .map(|_| {
                let at = millis(dice, 0, length);
                (at, dice.roll(nodes), blow(dice, mood, lease))
            })
            .collect();
        Self {
            mood,
            devices,
            interests: between(dice, 1, 6),
            users: between(dice, 1, 40),
            dead,
            refused,
            nodes,
            settings,
            store,
            gateway,
            publishes,
            deletions,
            time_to_live_secs: (dice.roll(4) == 0).then(|| between(dice, 1, 60)),
            blows,
            trouble,
        }
    }
}

fn blow(dice: &mut Dice, mood: Mood, lease: Duration) -> Blow {
    let long = Duration::from_secs(3600);
    match (mood, dice.roll(3)) {
        (Mood::Calm, _) => Blow::Stop { grace: long },
        (_, 0) => Blow::Crash {
            back_after: millis(dice, 0, 10_000),
        },
        (_, 1) => Blow::Stall {
            lasts: Duration::from_millis(dice.roll(3000) as u64 * lease.as_secs()),
        },
        _ => Blow::Stop {
            grace: millis(dice, 0, 10_000),
        },
    }
}

fn settings(dice: &mut Dice, mood: Mood) -> Settings {
    let lease = match mood {
        // Shorter than much of the work takes, yet no node that runs may ever lose one.
        Mood::Calm => millis(dice, 10_000, 60_000),
        Mood::Stormy => millis(dice, 2_000, 40_000),
    };
    Settings {
        page_length: scaled(dice, 1, 150),
        in_flight_max: scaled(dice, 1, 200),
        hosts: HostLimits {
            in_flight_max: scaled(dice, 1, 300),
            fcm_per_minute_max: match dice.roll(2) {
                0 => 0,
                _ => u32::try_from(between(dice, 3_000, 60_000)).unwrap(),
            },
        },
        express_jobs_max: between(dice, 1, 12),
        bulk_jobs_max: between(dice, 1, 4),
        express_pages: u32::try_from(between(dice, 1, 3)).unwrap(),
        job_span: i64::try_from(scaled(dice, 1, 400)).unwrap(),
        jobs_per_publish_max: between(dice, 1, 8),
        lease,
        poll: millis(dice, 100, 2_000),
        backoff: Backoff {
            first: millis(dice, 20, 2_000),
            longest: millis(dice, 2_000, 20_000),
        },
        ..Settings::default()
    }
}
