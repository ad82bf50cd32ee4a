//! Replicas that apply the same entries are equal, however often one of them was rebuilt from its rows.

use proptest::prelude::*;

use crate::support::actions::{World, steps};
use crate::support::group::Group;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rebuilt_replica_is_equal(steps in steps(100), restarts in any::<u64>()) {
        let (mut world, mut lives_on, mut rebuilt) = (World::default(), Group::default(), Group::default());
        for (n, step) in steps.iter().enumerate() {
            let entry = world.entry(step);
            if restarts >> (n % 64) & 1 == 1 {
                rebuilt = rebuilt.restarted();
            }
            let applied = lives_on.apply(&entry);
            // Replies, events and changes: what a client sees, and what is written.
            assert_eq!(rebuilt.apply(&entry), applied);
            assert_eq!(rebuilt, lives_on);
            world.learn(&applied, &rebuilt.state);
        }
    }
}
