//! Which keys have to be followed for some resources.

use convoy_confd::resource::Resource;
use convoy_store::KeyRange;

/// Where load-balanced services are.
const SERVICES: &str = "/services";
/// Where owners say how their instances do.
const INSTANCES: &str = "/convoy/instances";

/// The keys that the resources ask for, and what tells whether an upstream that vanished was let go of.
pub(crate) fn ranges<'r>(resources: impl IntoIterator<Item = &'r Resource>) -> Vec<KeyRange> {
    let mut paths = Vec::new();
    for key in resources.into_iter().flat_map(|resource| &resource.keys) {
        paths.push(key.clone());
        if let Some(below) = key.strip_prefix(SERVICES) {
            match below.strip_prefix('/').and_then(|rest| rest.split('/').next()) {
                Some(app) => paths.push(format!("{INSTANCES}/{app}")),
                None if below.is_empty() => paths.push(INSTANCES.to_owned()),
                None => {}
            }
        }
    }
    KeyRange::trees(paths.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_are_heard_of_the_services_that_are_asked_for() {
        for (keys, expected) in [
            ("\"/a\"", vec!["/a", "/a/"]),
            (
                "\"/services/x/upstream\"",
                vec![
                    "/convoy/instances/x",
                    "/convoy/instances/x/",
                    "/services/x/upstream",
                    "/services/x/upstream/",
                ],
            ),
            ("\"/services\"", vec!["/convoy/instances", "/convoy/instances/", "/services", "/services/"]),
            ("\"/servicesx\"", vec!["/servicesx", "/servicesx/"]),
            ("\"/\"", vec!["/"]),
            ("", vec![]),
        ] {
            let document = format!("[template]\nsrc=\"a\"\ndest=\"/a\"\nkeys=[{keys}]\n");
            let (resource, _) = Resource::parse("a.toml", &document, None).unwrap();
            let found = ranges([&resource]);
            assert_eq!(found.iter().map(KeyRange::as_str).collect::<Vec<_>>(), expected, "{keys}");
        }
    }
}
