//! Conditions: what is true of an object now, since when, and why.

use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use valo_crds::Condition;

/// The condition that all kinds have.
pub const READY: &str = "Ready";

/// The conditions of an object while a pass finds them out. The moment of a change is kept while nothing changes.
#[derive(Debug, Clone)]
pub struct Conditions {
    list: Vec<Condition>,
    generation: Option<i64>,
    now: Timestamp,
}

impl Conditions {
    /// Starts from those of the last pass.
    pub fn from(last: &[Condition], generation: Option<i64>, now: Timestamp) -> Self {
        Self { list: last.to_vec(), generation, now }
    }

    /// Says whether a condition holds, in one word and in a sentence.
    pub fn set(&mut self, type_: &str, holds: bool, reason: &str, message: impl Into<String>) {
        let status = if holds { "True" } else { "False" };
        let message: String = message.into();
        let since = self.list.iter().find(|last| last.type_ == type_ && last.status == status);
        let last_transition_time = since.map_or(Time(self.now), |last| last.last_transition_time.clone());
        let condition = Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.chars().take(1024).collect(),
            last_transition_time,
            observed_generation: self.generation,
        };
        match self.list.iter_mut().find(|last| last.type_ == type_) {
            Some(last) => *last = condition,
            None => self.list.push(condition),
        }
    }

    /// Drops one that says nothing any more.
    pub fn forget(&mut self, type_: &str) {
        self.list.retain(|condition| condition.type_ != type_);
    }

    /// All of them, in order of their names.
    pub fn into_list(mut self) -> Vec<Condition> {
        self.list.sort_by(|one, other| one.type_.cmp(&other.type_));
        self.list
    }
}

/// Whether a condition holds.
pub fn holds(conditions: &[Condition], type_: &str) -> bool {
    conditions.iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

/// Why a condition is as it is, in one word.
pub fn reason_of<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a str> {
    conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.reason.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_condition_remembers_since_when_it_is_so() {
        let mut first = Conditions::from(&[], Some(1), at(10));
        first.set(READY, false, "Waiting", "for a node");
        let first = first.into_list();
        let mut second = Conditions::from(&first, Some(2), at(20));
        second.set(READY, false, "Waiting", "for two nodes");
        let second = second.into_list();
        assert_eq!(second[0].last_transition_time.0, at(10), "it is still so, for another reason");
        assert_eq!((second[0].message.as_str(), second[0].observed_generation), ("for two nodes", Some(2)));
        let mut third = Conditions::from(&second, Some(2), at(30));
        third.set(READY, true, "Ready", "");
        assert!(holds(&third.clone().into_list(), READY));
        assert_eq!(third.into_list()[0].last_transition_time.0, at(30));
    }

    #[test]
    fn conditions_of_others_are_left_alone_and_come_in_order() {
        let mut conditions = Conditions::from(&[], None, at(1));
        conditions.set("Zeta", true, "Yes", "");
        conditions.set("Alpha", true, "Yes", "");
        let mut next = Conditions::from(&conditions.into_list(), None, at(2));
        next.set(READY, true, "Ready", "");
        let names: Vec<String> = next.into_list().into_iter().map(|condition| condition.type_).collect();
        assert_eq!(names, ["Alpha", "Ready", "Zeta"]);
    }
}
