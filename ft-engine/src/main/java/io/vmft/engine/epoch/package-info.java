/**
 * What an epoch costs: the moments of its life and the time between them, as types. Fed by the primary role on the engine's loop, shown by
 * {@code status} and {@code epochs}. Knows nothing of how an epoch is made.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.epoch;
