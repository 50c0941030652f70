/**
 * The role of running a VM: alone, or protected by a backup. Everything here runs on the engine's loop. Called by the engine; knows
 * the pipeline's actions and who carries them out, not how.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.primary;
