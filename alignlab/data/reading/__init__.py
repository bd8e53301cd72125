"""Reading: raw rows of files and of the hub, checked one by one."""
