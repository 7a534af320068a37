"""Which tests judge the mutants of which file. The most direct come first, because the first failure ends a run.

All of them run in one process, on SQLite. What needs HTTP, hypothesis or a database server is left out
(`worker.Chosen`). The tests of the files in ON_SERVERS also run on database servers, which are started once.
"""

_FORMS = "columns values forms none_and_damage"
_RULES = "matching weak_keys formers placeholders bookings refused_persons older_rules"
_COLUMNS = "records sequence roads crowds engine"

TESTS = {
    "upsert.py": f"{_RULES} merging",
    "engine/canonical.py": f"canonical {_FORMS} hijri",
    "engine/checkup.py": "checkup doctor",
    "engine/connecting.py": "connecting upgrading",
    "engine/copies.py": "copies backups one_file",
    "engine/database.py": "database statements turns engine",
    "engine/entity.py": f"batches records {_FORMS} engine",
    "engine/fields.py": f"field_parts growth {_FORMS}",
    "engine/hijri.py": "hijri",
    "engine/in_use.py": "copies backups one_file",
    "engine/index.py": "index crowds roads matching formers bookings merging engine",
    "engine/match.py": f"{_RULES} crowds engine",
    "engine/memo.py": "caches values",
    "engine/nothing.py": "none_and_damage values",
    "engine/outages.py": "watch outages",
    "engine/outcome.py": "notices weak_keys",
    "engine/plain.py": f"plain writing index {_COLUMNS} matching bookings",
    "engine/problems.py": "problems matching",
    "engine/references.py": "statements bookings refused_persons matching engine",
    "engine/rules.py": f"engine {_RULES}",
    "engine/settle.py": "records sequence roads engine statements matching placeholders bookings",
    "engine/sqlite_file.py": "sqlite_file turns",
    "engine/turns.py": "turns",
    "engine/upgrading.py": "upgrades_at_once",
    "engine/write.py": f"writing engine {_RULES} merging ways_out",
}
ON_SERVERS = frozenset({"engine/database.py", "engine/upgrading.py"})
# Too slow for a mutant, though they look at no server: they start programs, wait, or try many inputs.
SLOW = frozenset(
    {
        "test_a_chunk_of_the_longest_records_fits_into_a_statement",
        "test_a_backup_that_is_killed_leaves_nothing_that_looks_like_one",
        "test_a_disk_that_takes_no_more_is_told",
        "test_a_disk_that_takes_no_more_is_told_and_nothing_is_left",
        "test_a_file_that_this_user_may_not_write_is_named",
        "test_a_folder_that_may_not_be_written_is_told",
        "test_a_folder_that_this_user_may_not_enter_is_named",
        "test_a_folder_that_this_user_may_not_make_is_named",
        "test_a_list_of_many_odd_codes_names_some_and_counts_the_others",
        "test_a_plain_copy_after_a_stop_under_load_holds_all_that_was_answered",
        "test_a_program_in_a_saudi_locale_lands_on_the_right_days",
        "test_a_program_that_ends_closes_the_file",
        "test_a_restore_that_is_killed_leaves_the_old_database_or_the_new_one",
        "test_backups_under_load_are_sound_and_hold_all_that_had_been_answered",
        "test_every_month_is_dot_nets",
        "test_growth_tells_what_is_quadratic_from_what_is_linear",
        "test_it_works_where_the_service_does_not_start",
        "test_it_works_without_a_single_setting",
        "test_its_exit_status_is_0_if_nothing_is_to_be_done",
        "test_no_cache_takes_much_room_whatever_is_sent",
        "test_no_column_takes_more_time_than_its_values",
        "test_no_record_and_no_list_takes_more_time_than_its_parts",
        "test_no_text_takes_more_time_than_its_length",
        "test_six_upgrades_of_an_empty_database_at_once_make_its_tables_once",
        "test_six_upgrades_of_an_older_database_at_once_change_it_once",
        "test_sixty_refused_patients_with_a_long_mobile_leave_nothing",
        "test_the_engine_has_no_word_of_clinics",
        "test_the_lists_go_every_way",
        "test_the_program_says_in_a_line_that_a_newer_one_was_here",
        "test_who_is_named_and_counted_is_who_is_stored",
    }
)
