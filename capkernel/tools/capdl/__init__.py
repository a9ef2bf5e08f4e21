"""capDL and running systems: what a state looks like as a specification, and a system made from one."""
