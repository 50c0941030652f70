/**
 * QEMU's machine protocol (QMP, QEMU's {@code docs/interop/qmp-spec}): commands, their answers, events. Knows sockets and JSON,
 * not what any command means.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.qmp;
