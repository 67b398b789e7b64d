//! What an agent does with its schedule, on a good day and on bad ones. The schedulers are switched off; the scenarios
//! write the schedule themselves, so that nothing moves but what they move.
//!
//! `m1` to `m3` are the etcd members, the units run on `m4`.

mod fence;
mod following;
mod play;
mod store;

use std::process::ExitCode;

use anyhow::Result;
use convoy_cluster::Cluster;
use convoy_scenarios::{Scenario, Stage, options, run};

fn main() -> ExitCode {
    run(
        options("agent", 4, &[]),
        stage,
        &[
            Scenario { name: "a_group_is_written_whole_before_its_first_start", prove: following::group },
            Scenario {
                name: "a_changed_text_or_a_wish_restarts_and_nothing_else_does",
                prove: following::changes,
            },
            Scenario { name: "a_restarted_or_killed_agent_touches_no_workload", prove: following::adoption },
            Scenario {
                name: "an_agent_killed_at_any_moment_ends_up_where_it_should",
                prove: following::interrupted,
            },
            Scenario { name: "one_slow_stop_holds_up_nothing", prove: following::slow_stop },
            Scenario { name: "sixty_units_start_at_once_with_one_reload", prove: following::sixty },
            Scenario { name: "a_failing_unit_is_tried_again_and_counted", prove: following::failing },
            Scenario { name: "what_is_stopped_by_hand_stays_stopped", prove: following::by_hand },
            Scenario { name: "nothing_of_the_machines_own_is_touched", prove: following::foreign },
            Scenario { name: "a_lost_bus_is_found_again", prove: following::bus },
            Scenario {
                name: "cut_off_an_at_most_one_unit_ends_in_time_and_returns",
                prove: fence::fenced_by_cut,
            },
            Scenario {
                name: "cut_off_without_an_agent_an_at_most_one_unit_ends_in_time",
                prove: fence::fenced_by_kill,
            },
            Scenario {
                name: "a_frozen_agent_keeps_no_at_most_one_unit_alive",
                prove: fence::fenced_by_freeze,
            },
            Scenario { name: "a_unit_that_moved_away_meanwhile_does_not_return", prove: fence::moved_away },
            Scenario {
                name: "cut_off_a_stop_after_unit_ends_later_and_others_run_on",
                prove: fence::stop_after,
            },
            Scenario {
                name: "an_emptied_store_stops_nothing_and_an_entry_claims_what_runs",
                prove: store::emptied,
            },
            Scenario { name: "a_replaced_and_restored_store_stops_nothing", prove: store::replaced },
            Scenario {
                name: "a_shutdown_stops_the_units_and_signs_off_at_once",
                prove: following::shut_down,
            },
        ],
    )
}

fn stage(cluster: Cluster) -> Result<Stage> {
    for machine in cluster.machines() {
        machine.shell_ok(
            "mkdir -p /etc/systemd/system/scheduler.service.d \
             && printf '[Unit]\\nConditionPathExists=/nonexistent\\n' \
                > /etc/systemd/system/scheduler.service.d/none.conf \
             && systemctl daemon-reload && systemctl stop scheduler.service || true",
        )?;
    }
    let stage = Stage { cluster };
    stage.wait_for_machines(1, 4)?;
    stage.etcdctl(1, &["put", "/convoy/cluster", r#"{"id":"scenario"}"#])?;
    Ok(stage)
}

// What a scheduler does.
