//! Functions that ask the machine around.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use convoy_go_template::{
    Call, CallError, Function, Functions, List, Record, Template, Text, Type, Value, Width,
};

use super::strings_type;
use super::time::Time;
use crate::world::{Service, World};

/// Templates that include each other, as deep as in the maintained fork.
const MAX_INCLUDES: usize = 10;
/// Steps that asking the network costs: it may wait for seconds.
const LOOK_UP: usize = 50_000;
/// Steps that reading and parsing a file costs.
const FILE: usize = 1000;

pub(super) fn add(functions: &mut Functions, world: &Arc<dyn World>) {
    let machine = Arc::clone(world);
    functions.insert(
        "datetime",
        Function::new([], Type::Record("time.Time"), move |_| Ok(Time::value(machine.now()))),
    );
    let machine = Arc::clone(world);
    functions.insert(
        "getenv",
        Function::variadic([Type::String], Type::String, Type::String, move |call| {
            let set = machine.variable(&call.text(0)?.to_str()).filter(|value| !value.is_empty());
            match set {
                Some(value) => Ok(Value::from(value)),
                None if call.len() > 1 => Ok(Value::String(call.text(1)?)),
                None => Ok(Value::from("")),
            }
        }),
    );
    let machine = Arc::clone(world);
    functions.insert(
        "hostname",
        Function::new([], Type::String, move |_| {
            machine.hostname().map(Value::from).map_err(CallError::Failed)
        }),
    );
    let machine = Arc::clone(world);
    functions.insert(
        "fileExists",
        Function::new([Type::String], Type::Bool, move |call| {
            Ok(Value::Bool(machine.file_exists(&call.text(0)?.to_str())))
        }),
    );
    addresses(functions, world);
    services(functions, world);
    include(functions, world);
}

/// An address as Go writes it: one of IPv4 in IPv6 is one of IPv4.
fn shown(address: IpAddr) -> String {
    address.to_canonical().to_string()
}

/// Whether an address is asked for.
type Wanted = fn(&str) -> bool;

fn addresses(functions: &mut Functions, world: &Arc<dyn World>) {
    let kinds: [(&'static str, Wanted); 3] = [
        ("lookupIP", |_| true),
        ("lookupIPV4", |address| address.contains('.')),
        ("lookupIPV6", |address| address.contains(':')),
    ];
    for (name, wanted) in kinds {
        let machine = Arc::clone(world);
        functions.insert(
            name,
            Function::new([Type::String], strings_type(), move |call| {
                call.budget.spend(LOOK_UP)?;
                let found = machine.addresses(&call.text(0)?.to_str());
                let mut found: Vec<String> =
                    found.into_iter().map(shown).filter(|address| wanted(address)).collect();
                found.sort();
                if found.is_empty() {
                    return Ok(Value::List(List::nil(strings_type())));
                }
                Ok(Value::List(List::strings(found)))
            }),
        );
    }
    for (name, wanted) in
        [("lookupIfaceIPV4", IpAddr::is_ipv4 as fn(&IpAddr) -> bool), ("lookupIfaceIPV6", IpAddr::is_ipv6)]
    {
        let machine = Arc::clone(world);
        functions.insert(
            name,
            Function::new([Type::String], Type::String, move |call| {
                let found = machine.interface_addresses(&call.text(0)?.to_str());
                Ok(Value::from(found.into_iter().find(wanted).map(shown).unwrap_or_default()))
            }),
        );
    }
}

/// `*net.SRV`
#[derive(Debug)]
struct ServiceRecord(Service);

const SERVICE_TYPE: &str = "*net.SRV";

impl Record for ServiceRecord {
    fn type_name(&self) -> &'static str {
        SERVICE_TYPE
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        let number = |value: u16| Value::Uint(u64::from(value), Width::W16);
        vec![
            ("Target", Value::from(self.0.target.as_str())),
            ("Port", number(self.0.port)),
            ("Priority", number(self.0.priority)),
            ("Weight", number(self.0.weight)),
        ]
    }
}

fn services(functions: &mut Functions, world: &Arc<dyn World>) {
    let machine = Arc::clone(world);
    functions.insert(
        "lookupSRV",
        Function::new(
            [Type::String, Type::String, Type::String],
            Type::list(Type::Record(SERVICE_TYPE)),
            move |call| {
                let (service, protocol, name) = (call.text(0)?, call.text(1)?, call.text(2)?);
                call.budget.spend(LOOK_UP)?;
                let mut found = machine.services(&service.to_str(), &protocol.to_str(), &name.to_str());
                // As text, the way confd sorts them.
                found.sort_by_key(|service| {
                    format!("{}{}{}{}", service.target, service.port, service.priority, service.weight)
                });
                let records = found
                    .into_iter()
                    .map(|service| Value::Record(Arc::new(ServiceRecord(service))))
                    .collect();
                Ok(Value::List(List::new(Type::Record(SERVICE_TYPE), records)))
            },
        ),
    );
}

/// `include`: another template of the same folder, rendered with the data that is given.
fn include(functions: &mut Functions, world: &Arc<dyn World>) {
    let machine = Arc::clone(world);
    let under_way: Mutex<Vec<String>> = Mutex::new(Vec::new());
    functions.insert(
        "include",
        Function::variadic([Type::String], Type::Any, Type::String, move |call| {
            call.budget.spend(FILE)?;
            let name = call.text(0)?.to_str().into_owned();
            let (path, text) = machine.include(&name).map_err(CallError::Failed)?;
            enter(&under_way, &path)?;
            let included = render(call, &name, &path, &text);
            under_way.lock().unwrap_or_else(PoisonError::into_inner).pop();
            included
        }),
    );
}

fn enter(under_way: &Mutex<Vec<String>>, path: &str) -> Result<(), CallError> {
    let mut under_way = under_way.lock().unwrap_or_else(PoisonError::into_inner);
    if under_way.iter().any(|known| known == path) {
        return Err(CallError::failed(format!("include cycle detected: {path} is already being processed")));
    }
    if under_way.len() >= MAX_INCLUDES {
        return Err(CallError::failed(format!("maximum include depth ({MAX_INCLUDES}) exceeded")));
    }
    under_way.push(path.to_owned());
    Ok(())
}

fn render(call: &mut Call<'_>, name: &str, path: &str, text: &[u8]) -> Result<Value, CallError> {
    let template = Template::parse(path, text, call.functions)
        .map_err(|error| CallError::failed(format!("parse include {name}: {error}")))?;
    let data = call.arguments().get(1).cloned().unwrap_or(Value::Nil);
    template
        .render_within(&data, call.functions, call.budget)
        .map(|bytes| Value::String(Text::from(bytes)))
        .map_err(|error| CallError::failed(format!("execute include {name}: {error}")))
}
