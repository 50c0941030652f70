/** Everything that crosses a wire in vmft. Knows no speaker: neither servers nor engines. */
@org.jspecify.annotations.NullMarked
package io.vmft.proto;
