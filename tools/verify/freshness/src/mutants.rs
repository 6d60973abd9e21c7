//! The seeded bugs: at least one against each rule of the page that lies in `src/freshness`.

/// One seeded bug.
pub struct Mutant {
    /// The module that it becomes.
    pub name: &'static str,
    /// Which file it changes.
    pub file: &'static str,
    /// The text that it replaces.
    pub before: &'static str,
    /// What it puts there.
    pub after: &'static str,
}

const fn mutant(
    name: &'static str,
    file: &'static str,
    before: &'static str,
    after: &'static str,
) -> Mutant {
    Mutant {
        name,
        file,
        before,
        after,
    }
}

/// The seeded bugs, by rule.
#[rustfmt::skip]
pub const MUTANTS: &[Mutant] = &[
    mutant("r1_ttl_counts_from_the_answer", "rules.rs", "ttl.saturating_sub(took), took", "ttl, took"),
    mutant("r1_ttl_never_ends", "entry.rs", "        now < self.expires_at\n", "        true\n"),
    mutant("r1_absence_holds_as_long_as_a_template", "rules.rs", "State::Absent { .. } => self.negative_ttl", "State::Absent { .. } => self.ttl"),
    mutant("r2_absence_answers_late", "rules.rs", "            Content::Template(_) if now <", "            Content::Template(_) | Content::Absent if now <"),
    mutant("r2_window_is_too_long", "rules.rs", "after(self.stale_window) =>", "after(self.stale_window * 2) =>"),
    mutant("r2_late_answer_is_not_marked", "rules.rs", "=> Shows::Stale,", "=> Shows::Fresh,"),
    mutant("r2_tombstone_answers", "rules.rs", "Content::Template(_) | Content::Absent if is_within_ttl", "_ if is_within_ttl"),
    mutant("r3_superseded_entry_answers", "copies.rs", "(!self.is_superseded()).then_some(self.entry)", "Some(self.entry)"),
    mutant("r3_superseded_hit_is_shown", "copies.rs", "return (Stored::Superseded, None);", "return (Stored::Yes, None);"),
    mutant("r4_gap_is_ignored_in_the_copies", "copies.rs", "(answers && self.ignored.admits(&entry))", "answers"),
    mutant("r4_gap_is_ignored_in_redis", "rules.rs", "ignored.admits(&entry).then_some(entry)", "Some(entry)"),
    mutant("r4_same_millisecond_counts", "rules.rs", "now.0.saturating_add(1)", "now.0"),
    mutant("r5_redis_is_believed_for_longer", "rules.rs", "entry.expires_at.min(now.after(self.ttl))", "entry.expires_at"),
    mutant("r6_near_never_ends", "copies.rs", "&& now < known.confirmed_at.after(self.rules.near_for);", ";"),
    mutant("r6_near_survives_a_gap", "copies.rs", "known.confirmed_at >= self.ignored.moment()\n            && now", "now"),
    mutant("r6_near_outlives_its_ttl", "copies.rs", "(is_confirmed && self.rules.shows(&entry, now) == Shows::Fresh)", "is_confirmed"),
    mutant("r6_near_is_superseded", "copies.rs", "let entry = known.unless_superseded()?;\n        (is_confirmed", "let entry = known.entry;\n        (is_confirmed"),
    mutant("r7_superseded_copy_stands_in", "copies.rs", "let entry = self.known(id).and_then(Known::unless_superseded)?;\n        let is_within", "let entry = self.known(id)?.entry;\n        let is_within"),
    mutant("r7_copy_from_before_a_gap_stands_in", "copies.rs", "(is_within && self.ignored.admits(&entry))", "is_within"),
    mutant("r7_old_copy_stands_in", "copies.rs", "(is_within && self.ignored.admits(&entry))", "(self.ignored.admits(&entry))"),
    mutant("r8_absence_is_last_known_good", "rules.rs", "matches!(entry.content, Content::Template(_))\n            && now", "now"),
    mutant("r8_last_known_good_never_ends", "rules.rs", "&& now < entry.expires_at.after(self.stale_for)", ""),
    mutant("r8_last_known_good_is_lost", "copies.rs", "Some(known) => (known.entry, known.confirmed_at),", "Some(known) => (tombstone.clone(), known.confirmed_at),"),
    mutant("r9_each_load_is_enough", "rules.rs", "known.is_none_or(|known| known <= loaded)", "true"),
    mutant("r9_own_load_is_not_enough", "rules.rs", "    by_own_query || known", "    known"),
    mutant("r10_lower_version_replaces_in_the_copies", "copies.rs", "entry.version < known.version && ", ""),
    mutant("r10_lower_version_is_stored_in_the_copies", "copies.rs", "entry.version < known.version && ", "false && "),
    mutant("r10_lower_version_replaces_in_redis", "rules.rs", "=> held.version <= new.version", "=> true"),
    mutant("r10_earlier_answer_is_kept", "copies.rs", "|| known.entry.answered_at < entry.answered_at", "|| known.entry.answered_at > entry.answered_at"),
    mutant("r11_tombstone_replaces_its_own_version", "rules.rs", "=> held.version < new.version", "=> held.version <= new.version"),
    mutant("r11_suspected_version_is_known", "copies.rs", "let certain = known.as_ref().map(|known| known.certain_version);\n            if", "let certain = known.as_ref().map(|known| known.version);\n            if"),
    mutant("r11_tombstone_refuses_nothing", "entry.rs", "now.after(longest_load)", "now"),
    mutant("r12_overtaken_load_is_stored", "copies.rs", "if !is_forgotten && self.ignored.gaps() == began.gaps", "if true"),
    mutant("r12_forgotten_load_is_stored", "copies.rs", "if !is_forgotten && self", "if self"),
    mutant("r12_gap_during_a_load_is_ignored", "copies.rs", "if !is_forgotten && self.ignored.gaps() == began.gaps", "if !is_forgotten"),
    mutant("r12_gaps_of_a_millisecond_are_one", "rules.rs", "        self.gaps.load(Ordering::Relaxed)", "        self.moment.load(Ordering::Relaxed)"),
    mutant("r13_older_is_refused_for_no_time", "rules.rs", "self.ttl + self.longest_load", "Duration::ZERO"),
    mutant("r13_older_is_refused_for_ever", "rules.rs", "self.ttl + self.longest_load", "Duration::MAX"),
    mutant("r13_older_is_refused_for_a_ttl", "rules.rs", "self.ttl + self.longest_load", "self.ttl"),
    mutant("r13_older_is_refused_for_a_load", "rules.rs", "self.ttl + self.longest_load", "self.longest_load"),
    mutant("r13_redis_forgets_during_a_load", "rules.rs", "answers_until.since(now).max(self.longest_load)", "answers_until.since(now)"),
    mutant("r14_rank_is_reversed", "rules.rs", "version: Some(entry.version),", "version: Some(-entry.version),"),
    mutant("r14_tombstone_says_more", "rules.rs", "entry.content != Content::Tombstone", "entry.content == Content::Tombstone"),
    mutant("r14_state_says_more_than_version", "rules.rs", "    version: Option<i64>,\n    is_state: bool,\n}", "    is_state: bool,\n    version: Option<i64>,\n}"),
    mutant("r15_suspicion_is_of_the_known_version", "copies.rs", "certain.saturating_add(1)", "certain"),
    mutant("r15_suspicions_grow_on_each_other", "copies.rs", "let known = Known::with_tombstone(known, &tombstone, certain);", "let known = Known::with_tombstone(known, &tombstone, certain + 1);"),
    mutant("learnt_may_be_from_before_a_gap", "copies.rs", "entry.answered_at >= moment && self.ignored.admits(&entry)", "entry.answered_at >= moment"),
    mutant("learnt_may_be_superseded", "copies.rs", "let entry = self.known(id).and_then(Known::unless_superseded)?;\n        let is_answer", "let entry = self.known(id)?.entry;\n        let is_answer"),
    mutant("learnt_may_be_a_tombstone", "copies.rs", "(is_answer && is_later)", "is_later"),
    mutant("learnt_may_be_old", "copies.rs", "(is_answer && is_later)", "is_answer"),
];
