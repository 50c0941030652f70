/** The command line {@code vmft nbd}: one class a command, each a user of the library. */
@org.jspecify.annotations.NullMarked
package io.vmft.nbd.client.cli;
