//! The suite that every backend passes: one test for each rule of the [contract](crate).
//!
//! A backend's tests call [`store_conformance!`](crate::store_conformance) with the name of an async function that makes an
//! empty store, and something that keeps it alive (a temporary folder, a schema to be dropped):
//! `async fn fresh() -> (Arc<dyn Store>, Guard)`. Every test gets a store of its own. Time is made up; nothing sleeps. Random
//! tests name their seed when they fail.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "a suite fails by panicking, and the names of its tests say what they check"
)]

pub mod activity;
pub mod administration;
pub mod audience;
pub mod bindings;
pub mod cancelling;
pub mod cluster;
pub mod console;
pub mod devices;
pub mod events;
pub mod forgetting;
pub mod insights;
pub mod instances;
pub mod interests;
pub mod jobs;
pub mod keys;
pub mod lists;
pub mod lookups;
pub mod moving;
pub mod publishes;
pub mod quota;
pub mod replays;
pub mod retries;
pub mod scheduled;
pub mod sealing;
pub mod searches;
pub mod settlements;
pub mod traces;
pub mod transfer;
pub mod webhook_requests;
pub mod webhooks;
pub mod world;

/// Makes a `#[tokio::test]` of every test of the suite, in a module for each noun. See [`conformance`](crate::conformance).
#[macro_export]
macro_rules! store_conformance {
    ($fresh:ident) => {
        $crate::store_conformance!(@all $fresh;
            activity:
                a_device_is_active_on_the_days_on_which_it_shows,
                devices_are_counted_and_found_alike;
            instances:
                unknown_instances_are_told,
                unknown_instances_have_nothing,
                an_unknown_instance_has_no_devices,
                an_instance_reads_back,
                an_id_is_taken_once,
                instances_come_by_name_then_id,
                the_last_secret_key_stays,
                a_secret_key_is_revoked_in_its_instance_only,
                a_new_credential_has_a_new_version_and_is_not_broken,
                news_of_an_old_credential_is_not_held_against_a_new_one,
                every_change_moves_the_configuration_version,
                a_deleted_instance_leaves_nothing,
                a_deleted_instance_does_not_touch_others;
            devices:
                unknown_devices_are_told,
                a_device_is_seen_in_its_instance_only,
                a_device_id_of_another_platform_is_unknown,
                a_new_token_gets_the_fresh_id,
                registering_again_keeps_id_user_and_interests,
                one_token_in_two_instances_is_two_devices,
                one_token_registered_at_once_is_one_device,
                a_deleted_device_comes_back_as_another,
                metadata_is_replaced,
                a_token_moves_between_devices,
                a_new_token_keeps_user_and_interests,
                a_token_of_another_platform_is_refused,
                who_has_a_gateway_token_does_not_get_its_user,
                who_has_a_gateway_token_does_not_get_its_next_user,
                other_keys_are_another_browser,
                keys_are_never_changed_under_an_id;
            quota:
                a_full_instance_takes_no_new_device,
                a_full_instance_knows_its_devices,
                a_device_that_goes_makes_room,
                a_dead_token_makes_room,
                what_is_imported_is_counted_and_not_bounded,
                a_deleted_instance_has_no_count,
                concurrent_registrations_never_exceed_the_limit,
                the_count_is_exact_after_any_coming_and_going;
            bindings:
                a_user_is_bound_once,
                a_device_has_one_user,
                users_of_two_instances_are_two,
                the_limit_is_for_each_platform,
                concurrent_binds_never_exceed_the_limit,
                a_deleted_device_makes_room,
                deleting_a_user_deletes_the_devices,
                a_deleted_user_may_come_back,
                an_unbound_device_is_nobodys_and_stays,
                unbinding_leaves_the_users_other_devices,
                what_waits_for_an_unbound_device_is_dropped;
            interests:
                a_set_is_replaced,
                the_same_set_again_changes_nothing,
                adding_and_removing_are_idempotent,
                the_limit_refuses_one_more,
                concurrent_adds_never_exceed_the_limit,
                names_are_case_sensitive_and_by_bytes,
                pages_are_ascending_and_complete,
                pages_stay_right_while_the_set_changes,
                interests_of_two_instances_are_two;
            cluster:
                who_lives_is_counted,
                a_duty_has_one_holder,
                a_duty_is_given_up_by_its_holder_alone,
                a_clock_that_was_hours_ahead_keeps_nothing,
                of_many_who_take_a_duty_at_once_one_has_it,
                a_shared_token_is_replaced_by_who_knows_it,
                of_many_who_share_a_token_at_once_one_is_used;
            sealing:
                every_sealed_value_is_found,
                a_value_is_replaced_where_it_still_stands,
                the_keys_of_nodes_are_told;
            lists:
                an_unknown_instance_has_no_lists,
                a_list_is_an_audience_once,
                pages_of_a_list_have_whole_users_in_order,
                a_user_is_in_a_list_once,
                a_list_is_cut_into_jobs,
                a_scheduled_list_is_looked_up_when_it_is_sent,
                values_are_told_for_devices,
                users_of_a_list_are_reported,
                users_of_a_list_who_are_gone_are_reported,
                lists_have_others_at_the_same_places,
                a_discarded_list_is_gone,
                lists_go_with_their_publish_and_instance;
            console:
                an_unknown_instance_has_no_trail,
                a_watch_ends_by_itself,
                a_trace_reads_back,
                a_trail_goes_on_where_it_was_left,
                a_trail_is_kept_short,
                old_traces_are_pruned,
                a_trail_goes_with_its_instance,
                addressees_are_told_in_their_instance;
            transfer:
                an_unknown_instance_moves_nothing,
                an_import_registers_binds_and_subscribes,
                the_same_import_again_changes_nothing,
                an_import_takes_nothing_away,
                a_known_id_is_kept_unless_taken,
                a_later_registration_stands,
                an_import_updates_what_is_older,
                a_token_imported_dead_is_removed,
                limits_hold_within_and_across_imports,
                a_refused_line_leaves_nothing,
                an_import_stops_where_told,
                an_export_has_everything_once,
                an_export_imports_as_the_same,
                an_export_ends_early_for_many_interests;
            publishes:
                an_unknown_instance_cannot_publish,
                a_publish_for_nobody_is_finished_at_once,
                an_audience_of_unknown_names_is_nobody,
                a_publish_survives_in_full,
                a_report_is_seen_in_its_instance_only,
                pruning_keeps_what_is_not_finished,
                pruning_stops_at_its_limit,
                a_pruned_publish_takes_everything_with_it;
            audience:
                ranges_cover_everybody_once,
                a_job_spans_no_more_than_planned,
                jobs_are_no_more_than_planned,
                a_user_is_one_job_however_far_apart_the_devices,
                a_first_page_is_the_only_page,
                pages_match_a_naive_model,
                users_match_a_naive_model,
                only_platforms_of_the_publish_are_kept,
                a_page_ends_although_nobody_is_wanted,
                a_deleted_device_is_left_out,
                a_page_has_the_device_as_it_is_now;
            jobs:
                leased_jobs_are_nobody_elses,
                unleased_jobs_are_claimed_oldest_first,
                concurrent_claims_give_each_job_once,
                an_expired_lease_is_taken_over_with_the_cursor,
                an_old_fence_is_refused_everywhere,
                a_renewed_lease_holds,
                a_released_job_is_claimable_at_once,
                a_claimed_job_is_the_same_publish,
                the_depth_counts_what_waits;
            settlements:
                a_publish_finishes_with_its_last_job,
                a_cursor_does_not_go_back,
                a_page_is_settled_once,
                tallies_add_up,
                a_dead_token_removes_its_device,
                a_changed_token_saves_the_device,
                changed_keys_save_the_device,
                a_later_registration_saves_the_device,
                an_environment_is_remembered,
                a_refused_settlement_writes_nothing,
                news_of_gone_devices_does_no_harm;
            retries:
                retries_come_when_due_and_most_overdue_first,
                what_a_clock_that_was_hours_ahead_put_off_is_taken_up,
                a_claimed_retry_is_nobody_elses,
                an_expired_lease_on_a_retry_is_taken_over,
                a_renewed_lease_on_retries_holds,
                one_wrong_fence_refuses_the_whole,
                a_retry_may_be_written_anew,
                a_retry_goes_with_its_device,
                a_gone_device_does_not_stop_the_others,
                a_publish_finishes_with_its_last_retry,
                a_publish_finishes_when_its_last_device_is_deleted,
                concurrent_claims_give_each_retry_once,
                batches_hold_one_publish_each;
            events:
                an_event_counts_once,
                an_event_of_a_stranger_does_not_count,
                events_outlive_their_device,
                the_events_of_a_publish_are_listed,
                whatever_comes_at_once_counts_once,
                reports_go_before_their_publish_and_count_no_more;
            insights:
                what_counts_for_a_publish_counts_for_its_hour,
                old_hours_are_forgotten_and_no_others,
                a_deleted_instance_has_no_hours,
                hours_are_added_up_by_day_and_nothing_is_lost;
            replays:
                what_nobody_is_known_for_any_more_is_not_replayed,
                what_cannot_be_replayed_is_told,
                exactly_what_failed_is_sent_again,
                a_replay_of_no_failures_is_finished_at_once,
                what_is_replayed_is_kept_until_that_is_done,
                a_replay_may_be_repeated;
            lookups:
                nothing_is_told_of_unknown_publishes,
                lists_are_complete_and_newest_first,
                lists_are_by_state,
                every_user_named_is_told_of,
                interests_tell_of_no_users,
                failures_are_kept_in_order,
                a_refused_settlement_keeps_no_failures,
                an_audience_is_counted_once_each;
            searches:
                publishes_are_found_by_interest_though_nobody_has_it,
                publishes_are_found_by_user_however_named,
                publishes_are_found_by_title_as_long_as_it_is_kept,
                publishes_are_found_by_time_and_state,
                a_search_goes_on_where_it_stopped,
                what_waits_is_told_as_it_is_counted;
            keys:
                a_key_of_an_unknown_instance_is_nothing,
                a_key_of_another_request_is_refused,
                a_repetition_is_the_same_publish,
                of_concurrent_requests_one_is_done,
                an_old_key_counts_as_never_used,
                old_keys_are_pruned_alone,
                a_key_outlives_its_publish;
            cancelling:
                what_cannot_be_cancelled_is_told,
                cancelling_takes_the_work_away,
                cancelling_again_changes_nothing,
                cancelling_takes_the_retries_away,
                a_cancelled_publish_does_not_begin_later;
            administration:
                an_admin_token_reads_back,
                a_revoked_admin_token_is_gone_and_told_of,
                the_last_use_of_an_admin_token_only_moves_on,
                the_audit_log_is_read_backwards_in_pages,
                an_audit_entry_is_concluded,
                the_audit_log_is_filtered,
                old_audit_entries_are_pruned_alone,
                an_instance_is_renamed,
                devices_are_listed_by_instance_user_and_interest,
                a_recipient_is_where_a_device_is_reached,
                users_are_listed_by_prefix;
            forgetting:
                traces_are_told,
                a_forgotten_user_leaves_no_trace,
                a_forgotten_user_is_in_no_webhook_and_no_trail,
                what_a_publish_brought_goes_with_its_names_and_its_payload,
                sums_outlive_a_forgotten_user,
                a_forgotten_user_gets_nothing_that_was_scheduled,
                payloads_are_pruned_alone,
                names_are_pruned_alone;
            traces:
                a_publish_keeps_its_place_in_a_trace_until_its_last_job,
                retries_have_the_place_of_their_publish,
                a_scheduled_publish_keeps_its_place,
                a_replay_has_a_place_of_its_own,
                a_publish_without_a_trace_has_none;
            scheduled:
                a_scheduled_publish_is_no_work_before_its_time,
                an_audience_is_resolved_when_it_is_sent,
                a_scheduled_publish_for_nobody_finishes_when_it_begins,
                the_most_overdue_begin_first,
                each_is_begun_by_one_caller,
                what_is_begun_without_a_lease_is_left_to_claim,
                a_deleted_instance_sends_nothing_later;
            webhooks:
                webhooks_come_and_go,
                a_webhook_is_changed,
                a_devices_life_is_told,
                why_a_device_is_removed_is_told,
                a_broken_credential_is_told_once,
                another_instances_webhooks_are_told_nothing,
                a_report_is_told_once_and_for_the_bound_user,
                a_publish_is_told_of_when_it_ends,
                a_publish_may_bring_its_own_webhook,
                what_is_accepted_with_its_first_page_is_told_of_too,
                a_scheduled_publish_is_told_of_when_it_begins,
                what_is_told_of_a_publish_is_counted_once;
            webhook_requests:
                a_claimed_request_is_nobody_elses,
                requests_that_a_clock_kept_that_was_hours_ahead_are_taken_up,
                concurrent_claims_give_each_request_once,
                an_attempt_decides_what_comes_next,
                requests_are_listed_in_pages_newest_first,
                what_was_made_stays,
                a_request_whose_publish_is_gone_is_given_up,
                what_fails_for_too_long_is_disabled,
                a_failing_webhook_is_told_from_one_that_works,
                a_disabled_webhook_gets_nothing,
                a_full_queue_takes_no_more_until_it_has_room,
                ended_requests_are_deleted_when_old_or_too_many,
                a_request_is_replayed_with_its_id,
                what_waits_for_a_later_attempt_is_replayed_at_once,
                every_attempt_is_remembered,
                a_test_is_queued_for_its_webhook_alone,
                webhooks_go_with_their_instance;
        );
    };
    (@all $fresh:ident; $($noun:ident: $($rule:ident),+;)+) => {
        $(mod $noun {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                let (store, guard) = super::$fresh().await;
                $crate::conformance::$noun::$rule(store.clone()).await;
                store.close().await;
                drop(guard);
            })+
        })+
    };
}
