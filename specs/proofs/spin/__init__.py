"""The IPC and donation protocol as a Promela model, checked by Spin and compared with the explored kernel."""
