//! Why a request goes where it goes, in words.

use std::fmt::{self, Write};

use crate::{Action, Balance, Host, Rule, Service, Table, Tier};

impl Table {
    /// What becomes of a request for this host and path, and why. `now` is Unix time.
    pub fn explain(&self, host: &str, path: &str, now: u64) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = self.write(&mut out, host, path, now);
        out
    }

    fn write(&self, out: &mut String, host: &str, path: &str, now: u64) -> fmt::Result {
        let host = match Host::parse(host) {
            Ok(host) => host,
            Err(error) => return writeln!(out, "{host:?} is refused with 400: {error}"),
        };
        let host = host.as_str();
        let found = match self.find(host, path) {
            Ok(Some(found)) => found,
            Ok(None) => {
                return writeln!(out, "{host}{path} is answered with 404: no rule is for this host and path");
            }
            Err(error) => return writeln!(out, "{host}{path} is refused with 400: {error}"),
        };
        let app = found.service.app();
        writeln!(out, "{host}{path} is for {app}")?;
        if let Some(normal) = &found.path {
            writeln!(out, "  its path means {normal}, which is what is sent on")?;
        }
        let named = found.rule.hosts.iter().find(|pattern| pattern.matches(host));
        match named {
            Some(pattern) => {
                writeln!(out, "  by the rule {pattern} {} in {app}'s document", found.rule.path)?;
            }
            None => writeln!(out, "  by its own name, path {}", found.rule.path)?,
        }
        self.describe(out, found.rule, found.path.as_deref().unwrap_or(path))?;
        describe_service(out, found.service, now)?;
        for conflict in self.conflicts().filter(|conflict| conflict.winner == *app || conflict.loser == *app)
        {
            writeln!(out, "  beware: {conflict}")?;
        }
        writeln!(out, "  revision {}", self.revision())
    }

    fn describe(&self, out: &mut String, rule: &Rule, path: &str) -> fmt::Result {
        if rule.https {
            writeln!(out, "  without TLS it is sent to https")?;
        }
        match &rule.action {
            Action::Forward => {}
            Action::Redirect(redirect) => {
                writeln!(
                    out,
                    "  it is sent to {} with {}",
                    rule.location(redirect, path, None),
                    redirect.status.as_u16()
                )?;
            }
            Action::Maintenance(page) => writeln!(out, "  somebody works on it: {}", page.status.as_u16())?,
        }
        if let Some(path) = rule.rewritten(path) {
            writeln!(out, "  targets see the path {path}")?;
        }
        if let Some(canary) = &rule.canary {
            let known = if self.service(&canary.app).is_some() { "" } else { ", which nobody knows" };
            writeln!(out, "  {} of 100 requests go to {}{known}", canary.percent, canary.app)?;
        }
        if let Some(limit) = rule.body_max {
            writeln!(out, "  bodies have at most {limit} bytes")?;
        }
        Ok(())
    }
}

fn describe_service(out: &mut String, service: &Service, now: u64) -> fmt::Result {
    let policy = service.policy();
    let way = match &policy.balance {
        Balance::LeastRequest => "the one with the least to do",
        Balance::RoundRobin => "in turns",
        Balance::Hash(_) => "the same one for the same value",
    };
    if service.slots().is_empty() {
        let since = service.empty_since().map_or(0, |since| now.saturating_sub(since));
        return writeln!(out, "  there are no targets, for {since} s: 503");
    }
    writeln!(out, "  among these, {way}:")?;
    for slot in service.slots() {
        let target = &slot.target;
        write!(out, "    {} {} ({})", target.address_text(), target.instance(), target.tier().as_str())?;
        if slot.weight != 100 {
            write!(out, ", weight {}", slot.weight)?;
        }
        if slot.draining {
            write!(out, ", about to stop")?;
        }
        if target.is_failing() {
            write!(out, ", fails its checks")?;
        }
        let failures = target.ejection().failures();
        if failures > 0 {
            write!(out, ", left out after {failures} refused connections")?;
        }
        if target.tier() != Tier::LoadBalancer && service.tier_ends().first().is_some_and(|end| *end > 0) {
            write!(out, ", used when no load balancer is")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Domain, Routes, Table};

    #[test]
    fn a_request_is_explained() {
        let mut routes = Routes::new();
        for (key, value) in [
            ("/services/shop/lb/1", "10.0.0.1:80"),
            ("/services/shop/upstream/1", "10.0.0.2:80"),
            (
                "/convoy/routes/shop",
                r#"{"host": "*.example", "weights": {"1": 50}, "routes": [{"path": "/api", "strip_path": true}]}"#,
            ),
        ] {
            routes.put(key, value.as_bytes(), 1, 100);
        }
        routes.put("/services/gone/lb/1", b"10.0.0.3:80", 1, 100);
        routes.delete("/services/gone/lb/1", 100);
        let table = Table::empty([Domain::parse("d").unwrap()].into()).next(&routes, 7);
        assert_eq!(
            table.explain("www.example", "/x/../api/y", 107),
            "www.example/x/../api/y is for shop\n  its path means /api/y, which is what is sent on\n  \
             by the rule *.example /api in shop's document\n  targets see the path /y\n  \
             among these, the one with the least to do:\n    10.0.0.1:80 1 (lb), weight 50\n    \
             10.0.0.2:80 1 (direct), weight 50, used when no load balancer is\n  revision 7\n"
        );
        for (host, path, expected) in [
            ("shop.d", "/", "by its own name, path /"),
            ("gone.d", "/", "there are no targets, for 7 s: 503"),
            ("other", "/", "is answered with 404"),
            ("a b", "/", "is refused with 400"),
            ("shop.d", "/../x", "leads out of the root"),
        ] {
            let text = table.explain(host, path, 107);
            assert!(text.contains(expected), "{text}");
        }
    }
}
