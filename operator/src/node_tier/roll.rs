//! Which pod is replaced next when image or resources changed: a pure function. One at a time, never more down than
//! consensus can lose, and what is down already first, so that no bad rollout is stuck for good.

use crate::chain::is_ready;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

/// What of a pod decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its ordinal.
    pub ordinal: i32,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether it runs what is asked for.
    pub current: bool,
}

/// The pods of a tier, held against the template that they should be of.
pub fn members(tier: &str, pods: &[Pod], annotation: &str, wanted: &str) -> Vec<Member> {
    let member = |pod: &Pod| {
        let name = pod.name_any();
        let ordinal = name.strip_prefix(tier)?.strip_prefix('-')?.parse().ok()?;
        let current = pod.annotations().get(annotation).is_some_and(|found| found == wanted);
        Some(Member { ordinal, ready: is_ready(pod), current })
    };
    pods.iter().filter_map(member).collect()
}

/// The pod to replace now. `running` is how many there should be, `may_be_down` how many may be down at a time.
pub fn next(members: &[Member], running: usize, may_be_down: usize) -> Option<i32> {
    let outdated = || members.iter().filter(|member| !member.current);
    // One that is down costs nothing to replace.
    if let Some(down) = outdated().filter(|member| !member.ready).max_by_key(|member| member.ordinal) {
        return Some(down.ordinal);
    }
    let ready = members.iter().filter(|member| member.ready).count();
    let down = running.saturating_sub(ready);
    // Where nothing may be down, one at a time is the least that an update costs.
    if down >= may_be_down.max(1) {
        return None;
    }
    outdated().max_by_key(|member| member.ordinal).map(|member| member.ordinal)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(ordinal: i32, ready: bool, current: bool) -> Member {
        Member { ordinal, ready, current }
    }

    #[test]
    fn pods_are_replaced_one_by_one_as_far_as_the_quorum_goes() {
        let old = |ordinal| member(ordinal, true, false);
        let new = |ordinal| member(ordinal, true, true);
        assert_eq!(next(&[new(0), new(1)], 2, 1), None, "all are as they should be");
        assert_eq!(next(&[old(0), old(1), old(2), old(3)], 4, 1), Some(3));
        assert_eq!(next(&[old(0), old(1), old(2), member(3, false, true)], 4, 1), None, "the new one starts first");
        assert_eq!(next(&[old(0), old(1), old(2)], 4, 1), None, "it is not there yet");
        assert_eq!(next(&[old(0), old(1), old(2), member(3, false, true)], 4, 2), Some(2));
        assert_eq!(next(&[old(0)], 1, 0), Some(0), "there is no other way");
    }

    #[test]
    fn a_bad_rollout_is_left_by_the_next() {
        let stuck = [member(0, true, false), member(1, false, false)];
        assert_eq!(next(&stuck, 2, 1), Some(1), "it never gets ready by itself");
    }
}
