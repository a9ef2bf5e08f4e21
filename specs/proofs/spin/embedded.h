/* What the model leaves to C: short lists, reading the configuration, and keeping the states that were met. */
void queue_remove(void);
void queue_by_priority(void);
void queue_before_equals(void);
void queue_by_time(void);
void read_configuration(void);
void record_state(void);
