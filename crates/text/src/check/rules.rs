//! Layout rules (`GSUB`, `GPOS`): how many of them a text may have to try.
//!
//! The shaper tries the subtables of each lookup for each glyph, and the rules of the set that a subtable has for the
//! glyph, until one matches; rules may call further lookups. Offsets may be shared, so that a small table can describe
//! billions of rules: each is counted as often as the shaper would try it.

use read_fonts::{
    FontRef, ReadError, TableProvider,
    tables::{
        gpos::{PairPos, PositionSubtables, SinglePos},
        gsub::{SingleSubst, SubstitutionSubtables},
        layout::{ChainedSequenceContext, CoverageTable, SequenceContext, SequenceLookupRecord},
    },
};
use work::Work;

use super::growth::Growth;
use crate::{
    Error,
    error::font,
    limits::{MAX_GROWTH, MAX_RULE_STEPS, MAX_SHAPING_STEPS},
};

/// The shaper's nesting limit of lookups that call others.
const MAX_NESTING: usize = 64;

/// Steps counted for a substitution, which is stored until all are known.
const EDGE_STEPS: usize = 4;

/// The worst-case cost of a font's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RuleCost {
    /// Steps for each glyph of a text.
    pub(crate) steps: u64,
    /// Glyphs that a glyph may become.
    pub(crate) growth: u64,
}

impl RuleCost {
    /// Steps for a text of so many characters.
    pub(crate) fn of_text(self, chars: usize) -> u64 {
        self.steps.saturating_mul(self.growth).saturating_mul(chars as u64)
    }
}

/// Counts the rules of a font.
pub(crate) fn cost(face: &FontRef<'_>, work: &Work) -> Result<RuleCost, Error> {
    let mut counter = Counter { left: MAX_RULE_STEPS, growth: Growth::default(), work };
    let mut lookups = vec![];
    if let Ok(gsub) = face.gsub() {
        counter.substitutions(&gsub, &mut lookups)?;
    }
    let mut steps = total(&lookups, work)?;
    lookups.clear();
    if let Ok(gpos) = face.gpos() {
        counter.positions(&gpos, &mut lookups)?;
    }
    steps = steps.saturating_add(total(&lookups, work)?);
    let growth = counter.growth.most(work)?;
    if growth > MAX_GROWTH {
        return Err(font(format!("substitutions turn a glyph into more than {MAX_GROWTH} glyphs")));
    }
    Ok(RuleCost { steps: steps.max(1), growth })
}

/// One lookup.
#[derive(Debug, Default)]
struct LookupCost {
    /// Steps of its own rules for one glyph.
    steps: u64,
    /// For each of its rules with actions: the lookups that they call.
    actions: Vec<Vec<u16>>,
}

/// The steps for one glyph through all lookups, including nested ones.
fn total(lookups: &[LookupCost], work: &Work) -> Result<u64, Error> {
    let mut costs: Vec<u64> = lookups.iter().map(|lookup| lookup.steps).collect();
    for _ in 0..MAX_NESTING {
        work.check()?;
        let next: Vec<u64> = lookups
            .iter()
            .map(|lookup| {
                let of_rule = |names: &Vec<u16>| {
                    names.iter().fold(0_u64, |sum, name| {
                        let cost = costs.get(usize::from(*name)).copied().unwrap_or_default();
                        sum.saturating_add(cost).saturating_add(1)
                    })
                };
                lookup.steps.saturating_add(lookup.actions.iter().map(of_rule).max().unwrap_or_default())
            })
            .collect();
        let is_settled = next == costs || next.iter().any(|cost| *cost > MAX_SHAPING_STEPS);
        costs = next;
        // The total only grows with further rounds.
        if is_settled {
            break;
        }
    }
    Ok(costs.iter().fold(0, |sum: u64, cost| sum.saturating_add(*cost)))
}

struct Counter<'w> {
    left: u64,
    growth: Growth,
    work: &'w Work,
}

/// Skips unreadable rules, as the shaper does.
fn valid<T>(items: impl Iterator<Item = Result<T, ReadError>>) -> impl Iterator<Item = T> {
    items.filter_map(Result::ok)
}

impl Counter<'_> {
    fn count(&mut self, steps: usize) -> Result<(), Error> {
        let before = self.left;
        self.left = self.left.saturating_sub(steps as u64 + 1);
        if before >> 16 != self.left >> 16 {
            self.work.check()?;
        }
        if self.left == 0 {
            return Err(font(format!("it has more than {MAX_RULE_STEPS} layout rules")));
        }
        Ok(())
    }

    /// The shaper reads the coverage of each subtable once.
    fn coverage(&mut self, coverage: &Result<CoverageTable<'_>, ReadError>) -> Result<(), Error> {
        let entries = match coverage {
            Ok(CoverageTable::Format1(table)) => table.glyph_array().len(),
            Ok(CoverageTable::Format2(table)) => table.range_records().len(),
            Err(_) => 0,
        };
        self.count(entries)
    }

    fn substitutions(
        &mut self,
        gsub: &read_fonts::tables::gsub::Gsub<'_>,
        lookups: &mut Vec<LookupCost>,
    ) -> Result<(), Error> {
        let Ok(list) = gsub.lookup_list() else { return Ok(()) };
        for lookup in list.lookups().iter() {
            self.count(1)?;
            let mut cost = LookupCost::default();
            match lookup.and_then(|lookup| lookup.subtables()) {
                Ok(SubstitutionSubtables::Single(tables)) => {
                    for table in valid(tables.iter()) {
                        cost.steps += 1;
                        self.single(&table)?;
                    }
                }
                Ok(SubstitutionSubtables::Multiple(tables)) => {
                    for table in valid(tables.iter()) {
                        cost.steps += 1;
                        self.coverage(&table.coverage())?;
                        let Ok(coverage) = table.coverage() else { continue };
                        for (glyph, sequence) in coverage.iter().zip(table.sequences().iter()) {
                            let Ok(sequence) = sequence else { continue };
                            let glyphs = sequence.substitute_glyph_ids();
                            self.count(glyphs.len() + EDGE_STEPS)?;
                            self.growth.add(glyph.to_u16(), glyphs.iter().map(|glyph| glyph.get().to_u16()));
                        }
                    }
                }
                Ok(SubstitutionSubtables::Alternate(tables)) => {
                    for table in valid(tables.iter()) {
                        cost.steps += 1;
                        self.coverage(&table.coverage())?;
                        let Ok(coverage) = table.coverage() else { continue };
                        for (glyph, set) in coverage.iter().zip(table.alternate_sets().iter()) {
                            let Ok(set) = set else { continue };
                            self.count(set.alternate_glyph_ids().len() * EDGE_STEPS)?;
                            for other in set.alternate_glyph_ids() {
                                self.growth.add(glyph.to_u16(), std::iter::once(other.get().to_u16()));
                            }
                        }
                    }
                }
                Ok(SubstitutionSubtables::Ligature(tables)) => {
                    for table in valid(tables.iter()) {
                        self.coverage(&table.coverage())?;
                        let Ok(coverage) = table.coverage() else { continue };
                        let mut most = 0;
                        for (glyph, set) in coverage.iter().zip(table.ligature_sets().iter()) {
                            let Ok(set) = set else { continue };
                            let mut steps = 0;
                            for ligature in valid(set.ligatures().iter()) {
                                let length = ligature.component_glyph_ids().len();
                                self.count(length + EDGE_STEPS)?;
                                steps += length as u64 + 1;
                                self.growth
                                    .add(glyph.to_u16(), std::iter::once(ligature.ligature_glyph().to_u16()));
                            }
                            most = steps.max(most);
                        }
                        cost.steps += most + 1;
                    }
                }
                Ok(SubstitutionSubtables::Contextual(tables)) => {
                    for table in valid(tables.iter()) {
                        self.context(&table, &mut cost)?;
                    }
                }
                Ok(SubstitutionSubtables::ChainContextual(tables)) => {
                    for table in valid(tables.iter()) {
                        self.chained(&table, &mut cost)?;
                    }
                }
                Ok(SubstitutionSubtables::Reverse(tables)) => {
                    for table in valid(tables.iter()) {
                        self.coverage(&table.coverage())?;
                        let around = table.backtrack_coverages().len() + table.lookahead_coverages().len();
                        self.count(around)?;
                        cost.steps += around as u64 + 1;
                    }
                }
                Ok(SubstitutionSubtables::EmptyExtension) | Err(_) => {}
            }
            lookups.push(cost);
        }
        Ok(())
    }

    fn single(&mut self, table: &SingleSubst<'_>) -> Result<(), Error> {
        let coverage = match table {
            SingleSubst::Format1(table) => table.coverage(),
            SingleSubst::Format2(table) => table.coverage(),
        };
        self.coverage(&coverage)?;
        let Ok(coverage) = coverage else { return Ok(()) };
        match table {
            SingleSubst::Format1(table) => {
                for glyph in coverage.iter() {
                    self.count(EDGE_STEPS)?;
                    let other = glyph.to_u16().wrapping_add_signed(table.delta_glyph_id());
                    self.growth.add(glyph.to_u16(), std::iter::once(other));
                }
            }
            SingleSubst::Format2(table) => {
                for (glyph, other) in coverage.iter().zip(table.substitute_glyph_ids()) {
                    self.count(EDGE_STEPS)?;
                    self.growth.add(glyph.to_u16(), std::iter::once(other.get().to_u16()));
                }
            }
        }
        Ok(())
    }

    fn positions(
        &mut self,
        gpos: &read_fonts::tables::gpos::Gpos<'_>,
        lookups: &mut Vec<LookupCost>,
    ) -> Result<(), Error> {
        let Ok(list) = gpos.lookup_list() else { return Ok(()) };
        for lookup in list.lookups().iter() {
            self.count(1)?;
            let mut cost = LookupCost::default();
            // A macro, since the kinds of subtables have no common trait.
            macro_rules! plain {
                ($tables:expr, $coverage:ident) => {
                    for table in valid($tables.iter()) {
                        self.coverage(&table.$coverage())?;
                        cost.steps += 1;
                    }
                };
            }
            match lookup.and_then(|lookup| lookup.subtables()) {
                Ok(PositionSubtables::Single(tables)) => {
                    for table in valid(tables.iter()) {
                        self.coverage(&match table {
                            SinglePos::Format1(table) => table.coverage(),
                            SinglePos::Format2(table) => table.coverage(),
                        })?;
                        cost.steps += 1;
                    }
                }
                Ok(PositionSubtables::Pair(tables)) => {
                    for table in valid(tables.iter()) {
                        self.coverage(&match table {
                            PairPos::Format1(table) => table.coverage(),
                            PairPos::Format2(table) => table.coverage(),
                        })?;
                        cost.steps += 1;
                    }
                }
                Ok(PositionSubtables::Cursive(tables)) => plain!(tables, coverage),
                Ok(PositionSubtables::MarkToBase(tables)) => plain!(tables, mark_coverage),
                Ok(PositionSubtables::MarkToLig(tables)) => plain!(tables, mark_coverage),
                Ok(PositionSubtables::MarkToMark(tables)) => plain!(tables, mark1_coverage),
                Ok(PositionSubtables::Contextual(tables)) => {
                    for table in valid(tables.iter()) {
                        self.context(&table, &mut cost)?;
                    }
                }
                Ok(PositionSubtables::ChainContextual(tables)) => {
                    for table in valid(tables.iter()) {
                        self.chained(&table, &mut cost)?;
                    }
                }
                Ok(PositionSubtables::EmptyExtension) | Err(_) => {}
            }
            lookups.push(cost);
        }
        Ok(())
    }

    /// Counts a rule with this many glyphs and these actions; returns its steps.
    fn rule(
        &mut self,
        glyphs: usize,
        actions: &[SequenceLookupRecord],
        cost: &mut LookupCost,
    ) -> Result<u64, Error> {
        self.count(glyphs + actions.len())?;
        if !actions.is_empty() {
            cost.actions.push(
                actions
                    .iter()
                    .map(read_fonts::tables::layout::SequenceLookupRecord::lookup_list_index)
                    .collect(),
            );
        }
        Ok(glyphs as u64 + 1)
    }

    fn context(&mut self, table: &SequenceContext<'_>, cost: &mut LookupCost) -> Result<(), Error> {
        let mut most = 0;
        match table {
            SequenceContext::Format1(table) => {
                self.coverage(&table.coverage())?;
                for set in valid(table.seq_rule_sets().iter().flatten()) {
                    let mut steps = 0;
                    for rule in valid(set.seq_rules().iter()) {
                        steps += self.rule(rule.input_sequence().len(), rule.seq_lookup_records(), cost)?;
                    }
                    self.count(1)?;
                    most = steps.max(most);
                }
            }
            SequenceContext::Format2(table) => {
                self.coverage(&table.coverage())?;
                for set in valid(table.class_seq_rule_sets().iter().flatten()) {
                    let mut steps = 0;
                    for rule in valid(set.class_seq_rules().iter()) {
                        steps += self.rule(rule.input_sequence().len(), rule.seq_lookup_records(), cost)?;
                    }
                    self.count(1)?;
                    most = steps.max(most);
                }
            }
            SequenceContext::Format3(table) => {
                self.coverage(&table.coverages().get(0))?;
                most = self.rule(table.coverages().len(), table.seq_lookup_records(), cost)?;
            }
        }
        cost.steps += most + 1;
        Ok(())
    }

    fn chained(&mut self, table: &ChainedSequenceContext<'_>, cost: &mut LookupCost) -> Result<(), Error> {
        let mut most = 0;
        match table {
            ChainedSequenceContext::Format1(table) => {
                self.coverage(&table.coverage())?;
                for set in valid(table.chained_seq_rule_sets().iter().flatten()) {
                    let mut steps = 0;
                    for rule in valid(set.chained_seq_rules().iter()) {
                        let glyphs = rule.backtrack_sequence().len()
                            + rule.input_sequence().len()
                            + rule.lookahead_sequence().len();
                        steps += self.rule(glyphs, rule.seq_lookup_records(), cost)?;
                    }
                    self.count(1)?;
                    most = steps.max(most);
                }
            }
            ChainedSequenceContext::Format2(table) => {
                self.coverage(&table.coverage())?;
                for set in valid(table.chained_class_seq_rule_sets().iter().flatten()) {
                    let mut steps = 0;
                    for rule in valid(set.chained_class_seq_rules().iter()) {
                        let glyphs = rule.backtrack_sequence().len()
                            + rule.input_sequence().len()
                            + rule.lookahead_sequence().len();
                        steps += self.rule(glyphs, rule.seq_lookup_records(), cost)?;
                    }
                    self.count(1)?;
                    most = steps.max(most);
                }
            }
            ChainedSequenceContext::Format3(table) => {
                self.coverage(&table.input_coverages().get(0))?;
                let glyphs = table.backtrack_coverages().len()
                    + table.input_coverages().len()
                    + table.lookahead_coverages().len();
                most = self.rule(glyphs, table.seq_lookup_records(), cost)?;
            }
        }
        cost.steps += most + 1;
        Ok(())
    }
}
