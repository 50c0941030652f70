/** What single parts of the block server cost: time and allocation an operation, by JMH. */
@org.jspecify.annotations.NullMarked
package io.vmft.bench.micro;
