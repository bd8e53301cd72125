"""Every choice a user can make, one yaml a choice; shipped as `alignlab.conf`."""
