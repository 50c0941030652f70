/**
 * {@code ./vmft demo}: two hosts, a storage host and a client as network namespaces of this machine; a real guest, a real kill, and the
 * proof that the client lost nothing. It runs the parts as an operator would, as processes with command lines, and looks at them
 * only through the engine's monitor socket. It must not know how they work.
 */
@NullMarked
package io.vmft.demo;

import org.jspecify.annotations.NullMarked;
