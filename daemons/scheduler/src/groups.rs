//! Units that belong together: tied by MachineOf=, BindsTo= or Requires=, through however many others.

use std::collections::BTreeMap;

use convoy_unit_files::UnitName;

use crate::input::Standing;

/// The group of every unit, by number. Units that are tied to nobody are groups of their own.
pub(crate) fn groups(standings: &BTreeMap<UnitName, Standing>) -> Vec<Vec<UnitName>> {
    let names: Vec<&UnitName> = standings.keys().collect();
    let index: BTreeMap<&str, usize> =
        names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
    let mut parents: Vec<usize> = (0..names.len()).collect();
    for (number, standing) in standings.values().enumerate() {
        let Standing::Runs { definition, .. } = standing else { continue };
        // A global is on many machines; who follows it is not moved with it.
        if definition.rules.global {
            continue;
        }
        for other in definition.rules.machine_of.iter().chain(&definition.rules.ties) {
            let Some(other) = index.get(other.as_str()).copied() else { continue };
            if is_global(standings, names.get(other)) {
                continue;
            }
            let (a, b) = (root(&mut parents, number), root(&mut parents, other));
            // The smaller number is the root, so that groups come in the order of their first names.
            if let Some(parent) = parents.get_mut(a.max(b)) {
                *parent = a.min(b);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<UnitName>> = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        groups.entry(root(&mut parents, number)).or_default().push((*name).clone());
    }
    groups.into_values().collect()
}

fn is_global(standings: &BTreeMap<UnitName, Standing>, name: Option<&&UnitName>) -> bool {
    let standing = name.and_then(|name| standings.get(*name));
    matches!(standing, Some(Standing::Runs { definition, .. }) if definition.rules.global)
}

fn root(parents: &mut [usize], mut number: usize) -> usize {
    while let Some(&parent) = parents.get(number) {
        if parent == number {
            break;
        }
        // Halves the path for the next one who comes this way.
        let grandparent = parents.get(parent).copied().unwrap_or(parent);
        if let Some(own) = parents.get_mut(number) {
            *own = grandparent;
        }
        number = grandparent;
    }
    number
}
