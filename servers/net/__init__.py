"""Network servers, and the TCP/IP stack that they use."""
