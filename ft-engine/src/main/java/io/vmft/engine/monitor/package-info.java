/** The engine's monitor: a unix socket on which operators and scripts ask one line and get one line. Knows roles by their interface only. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.monitor;
