"""Modifiers: functions of a pairwise loss that change its inputs or its values. One file each."""
