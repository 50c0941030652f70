/** The TCP connection between two engines: frames, heartbeats, and when the other side counts as silent. Knows no epoch's fate. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.replication;
