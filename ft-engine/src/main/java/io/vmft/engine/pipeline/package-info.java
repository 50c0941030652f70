/**
 * The primary's side of the protocol as a pure state machine: events in, actions out. No thread, clock, socket or file is
 * touched here, so that a simulation can drive it through thousands of schedules.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.pipeline;
