package io.vmft.engine.config;

import static io.vmft.config.InvalidValueException.require;

import java.util.Locale;
import java.util.Optional;

/**
 * One virtio network card.
 *
 * @param mac lower case, six pairs with colons, unicast
 * @param tap name of the tap interface on the host; made if there is none
 * @param bridge the bridge the tap is put into, if any
 */
public record Nic(String mac, String tap, Optional<String> bridge) {
    public Nic {
        mac = mac.toLowerCase(Locale.ROOT);
        require(
                mac.matches("[0-9a-f]{2}(:[0-9a-f]{2}){5}"),
                "mac",
                "\"" + mac + "\" is not a MAC address; write it like 52:54:00:12:34:56");
        require(
                (Integer.parseInt(mac.substring(0, 2), 16) & 1) == 0,
                "mac",
                mac + " is a multicast address; make its first byte even, like 52");
        require(Names.isInterface(tap), "tap", "\"" + tap + "\" is not an interface name of 1 to 15 characters");
        if (bridge.isPresent()) {
            String name = bridge.get();
            require(
                    Names.isInterface(name),
                    "bridge",
                    "\"" + name + "\" is not an interface name of 1 to 15 characters");
        }
    }
}
