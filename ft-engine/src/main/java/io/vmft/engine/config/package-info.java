/**
 * The description of one VM as an operator writes it: one YAML file, the same on both hosts. The whole engine reads these
 * records; nothing here knows QEMU's command line, sockets or threads.
 */
@org.jspecify.annotations.NullMarked
package io.vmft.engine.config;
