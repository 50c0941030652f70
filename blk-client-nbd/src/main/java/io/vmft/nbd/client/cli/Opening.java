package io.vmft.nbd.client.cli;

import io.vmft.nbd.client.ConnectOptions;
import io.vmft.nbd.client.NbdClient;
import io.vmft.nbd.client.NbdExport;
import io.vmft.nbd.client.NbdUri;
import io.vmft.nbd.client.session.FollowingClient;
import java.io.IOException;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** How commands connect: to one server, or following the volume where there are several, or a wish to be patient. */
final class Opening {
    @Option(
            names = "--patience",
            paramLabel = "SECONDS",
            description = "Go on after a lost connection for so long (default: with one server not at all, else 30).")
    private @Nullable Integer patienceSeconds;

    NbdClient open(NbdUri uri, ConnectOptions options) throws IOException {
        if (patienceSeconds == null && uri.addresses().size() == 1) {
            // A virtual machine's export is its own unless whoever comes says who it is.
            boolean held = NbdExport.generation(uri.exportName()) > 0;
            return NbdClient.connect(uri, held ? options.withSession(ConnectOptions.Session.random()) : options);
        }
        FollowingClient.Settings settings = FollowingClient.Settings.DEFAULT.withOptions(options);
        if (patienceSeconds != null) {
            settings = settings.withPatience(Duration.ofSeconds(Math.clamp(patienceSeconds, 1, 86_400)));
        }
        return FollowingClient.connect(List.of(uri), settings, _ -> {});
    }
}
