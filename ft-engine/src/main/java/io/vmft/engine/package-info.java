/** One process guards one VM: the command line, and the engine that is a primary or a standby and may change from one to the other. */
@org.jspecify.annotations.NullMarked
package io.vmft.engine;
