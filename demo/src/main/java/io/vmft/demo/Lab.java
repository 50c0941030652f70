package io.vmft.demo;

import java.util.List;

/**
 * The network: a switch and four machines on it, each a network namespace of this machine. Every address lives inside these namespaces
 * only. Hosts have a bridge, as a real one would, for their VM's tap.
 *
 * <pre>
 *   storage ─┐            ┌─ host a: br0 ── tap of the VM
 *            ├── switch ──┤
 *   client ──┘            └─ host b: br0 ── tap of the VM
 * </pre>
 */
final class Lab {
    static final String STORAGE_ADDRESS = "10.77.0.10";
    static final String CLIENT_ADDRESS = "10.77.0.20";
    static final String GUEST_ADDRESS = "10.77.0.100";
    static final String BRIDGE = "br0";
    private static final int PREFIX_BITS = 24;

    private final String id;

    Lab(String id) {
        this.id = id;
    }

    /** The namespace of a machine: {@code a}, {@code b}, {@code s}torage, {@code c}lient, s{@code w}itch. */
    String namespace(String machine) {
        return "vmft-" + id + "-" + machine;
    }

    static String hostAddress(String host) {
        return host.equals("a") ? "10.77.0.11" : "10.77.0.12";
    }

    /** Makes it all, and returns itself. What a failure leaves is removed with the run. */
    Lab build() throws DemoException, InterruptedException {
        for (String machine : List.of("w", "s", "a", "b", "c")) {
            Command.run("ip", "netns", "add", namespace(machine));
            ip(machine, "link set lo up\n");
        }
        ip("w", bridge());
        connect("s");
        connect("c");
        connect("a");
        connect("b");
        ip("s", "address add " + STORAGE_ADDRESS + "/" + PREFIX_BITS + " dev eth0\n");
        ip("c", "address add " + CLIENT_ADDRESS + "/" + PREFIX_BITS + " dev eth0\n");
        for (String host : List.of("a", "b")) {
            ip(
                    host,
                    bridge() + "link set eth0 master " + BRIDGE + "\naddress add " + hostAddress(host) + "/"
                            + PREFIX_BITS + " dev " + BRIDGE + "\n");
        }
        return this;
    }

    private void connect(String machine) throws DemoException, InterruptedException {
        ip(
                machine,
                "link add eth0 type veth peer name port-" + machine + " netns " + namespace("w") + "\n"
                        + "link set eth0 up\n");
        ip("w", "link set port-" + machine + " master " + BRIDGE + "\nlink set port-" + machine + " up\n");
    }

    private static String bridge() {
        return "link add " + BRIDGE + " type bridge forward_delay 0 stp_state 0\nlink set " + BRIDGE + " up\n";
    }

    private void ip(String machine, String commands) throws DemoException, InterruptedException {
        Command.feed(commands, "ip", "-n", namespace(machine), "-batch", "-");
    }
}
