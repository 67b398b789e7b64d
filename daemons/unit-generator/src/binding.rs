//! The drop-in that binds a sidekick to its app unit. Pure.

use std::path::PathBuf;

use convoy_keys::{NameError, UnitInstance};

/// The template of the sidekick, up to the instance.
pub const SIDEKICK_PREFIX: &str = "registrar@";
/// Unit files end so.
pub const SERVICE: &str = ".service";
/// The drop-in's name; an admin's own with a higher number comes after it.
const FILE: &str = "50-bind.conf";

/// The drop-in's name for app units.
const APP_FILE: &str = "50-sidekick.conf";
/// The template of the oneshot that binds, up to the instance.
const BINDER_PREFIX: &str = "registrar-bind@";

/// Where an app unit's drop-in lies below a folder of units.
pub fn app_path(app_unit: &str) -> PathBuf {
    PathBuf::from(format!("{app_unit}.d")).join(APP_FILE)
}

/// The drop-in of an app unit, template or not, whose text names these sidekicks.
///
/// The app waits until its sidekick is bound: otherwise one that is started and stopped again in the same moment
/// would have its sidekick, unbound as yet, come up afterwards and pull it in once more.
pub fn app_text<'a>(sidekicks: impl IntoIterator<Item = &'a str>) -> String {
    let rest = sidekicks.into_iter().filter_map(|sidekick| sidekick.strip_prefix(SIDEKICK_PREFIX));
    let binders: Vec<String> = rest.map(|rest| format!("{BINDER_PREFIX}{rest}")).collect();
    format!(
        "# Written by Convoy: the sidekick is bound before the app starts.\n[Unit]\nAfter={}\n",
        binders.join(" ")
    )
}

/// A sidekick and the app unit that it is bound to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Binding {
    /// The sidekick's instance, as it was given: `someapp-1` or `someapp@1`.
    given: String,
    instance: UnitInstance,
}

impl Binding {
    /// The binding of `registrar@<given>.service`. The name is split at its at sign, else at its last dash.
    pub fn of_instance(given: &str) -> Result<Self, NameError> {
        Ok(Self { given: given.to_owned(), instance: UnitInstance::parse(given)? })
    }

    /// The binding of a sidekick's unit; none for other units.
    pub fn of_unit(unit: &str) -> Option<Result<Self, NameError>> {
        let given = unit.strip_prefix(SIDEKICK_PREFIX)?.strip_suffix(SERVICE)?;
        (!given.is_empty()).then(|| Self::of_instance(given))
    }

    /// `registrar@someapp-1.service`
    pub fn sidekick(&self) -> String {
        format!("{SIDEKICK_PREFIX}{}{SERVICE}", self.given)
    }

    /// `registrar-bind@someapp-1.service`
    pub fn binder(&self) -> String {
        format!("{BINDER_PREFIX}{}{SERVICE}", self.given)
    }

    /// `someapp@1.service`
    pub fn app_unit(&self) -> String {
        self.instance.app_unit()
    }

    /// Where the drop-in lies below a folder of units.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("{}.d", self.sidekick())).join(FILE)
    }

    /// The drop-in's text.
    ///
    /// BindsTo= stops the sidekick whenever the app unit goes, crash included; After= makes systemd wait for the
    /// sidekick's end before it stops the app. The environment files are given here since only here the app's name
    /// is known apart from the instance; the instance's own is read last, and so wins.
    pub fn text(&self) -> String {
        let app_unit = self.app_unit();
        let UnitInstance { app, instance } = &self.instance;
        let given = &self.given;
        let dashed = format!("{app}-{instance}");
        let other_form = if *given == dashed {
            String::new()
        } else {
            format!("EnvironmentFile=-/etc/convoy/registrar/{dashed}.env\n")
        };
        format!(
            "# Written by Convoy: {sidekick} looks after {app_unit}.\n\
             [Unit]\n\
             BindsTo={app_unit}\n\
             After={app_unit}\n\
             \n\
             [Service]\n\
             EnvironmentFile=-/etc/convoy/registrar/{app}.env\n\
             {other_form}\
             EnvironmentFile=-/etc/convoy/registrar/{given}.env\n",
            sidekick = self.sidekick(),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_sidekick_is_bound_to_the_app_unit_that_its_name_tells() {
        for (unit, app_unit) in [
            ("registrar@someapp-1.service", "someapp@1.service"),
            ("registrar@someapp@1.service", "someapp@1.service"),
            ("registrar@my-app-12.service", "my-app@12.service"),
            ("registrar@my-app@blue-2.service", "my-app@blue-2.service"),
        ] {
            let binding = Binding::of_unit(unit).unwrap().unwrap();
            assert_eq!(binding.app_unit(), app_unit, "{unit}");
            assert_eq!(binding.sidekick(), unit);
            assert_eq!(binding.path(), PathBuf::from(format!("{unit}.d/50-bind.conf")));
        }
    }

    #[test]
    fn other_units_have_no_binding_and_bad_names_are_refused() {
        for unit in
            ["someapp@1.service", "registrar@.service", "registrar@a-1.socket", "registrar-bind@a-1.service"]
        {
            assert_eq!(Binding::of_unit(unit), None, "{unit}");
        }
        for unit in ["registrar@someapp.service", "registrar@../x-1.service", "registrar@a-1 b.service"] {
            assert!(Binding::of_unit(unit).unwrap().is_err(), "{unit}");
        }
    }

    #[test]
    fn the_drop_in_as_it_is_written() {
        assert_eq!(
            Binding::of_instance("my-app-12").unwrap().text(),
            "# Written by Convoy: registrar@my-app-12.service looks after my-app@12.service.\n\
             [Unit]\n\
             BindsTo=my-app@12.service\n\
             After=my-app@12.service\n\
             \n\
             [Service]\n\
             EnvironmentFile=-/etc/convoy/registrar/my-app.env\n\
             EnvironmentFile=-/etc/convoy/registrar/my-app-12.env\n"
        );
        let direct = Binding::of_instance("someapp@1").unwrap().text();
        assert!(
            direct.ends_with(
                "someapp.env\n\
                 EnvironmentFile=-/etc/convoy/registrar/someapp-1.env\n\
                 EnvironmentFile=-/etc/convoy/registrar/someapp@1.env\n"
            ),
            "{direct}"
        );
    }

    #[test]
    fn an_app_unit_waits_until_its_sidekick_is_bound() {
        assert_eq!(app_path("someapp@.service"), PathBuf::from("someapp@.service.d/50-sidekick.conf"));
        assert_eq!(
            app_text(["registrar@%p-%i.service"]),
            "# Written by Convoy: the sidekick is bound before the app starts.\n\
             [Unit]\n\
             After=registrar-bind@%p-%i.service\n"
        );
    }

    proptest! {
        #[test]
        fn no_name_can_add_a_line_or_leave_its_folder(name in "\\PC{0,40}|[a-z./@\\n -]{0,20}") {
            if let Ok(binding) = Binding::of_instance(&name) {
                prop_assert_eq!(binding.path().components().count(), 2);
                prop_assert!(binding.text().lines().count() <= 9);
                prop_assert!(!binding.text().contains('%'), "a specifier would be expanded");
            }
        }
    }
}
