"""Getting messages into an instance."""
import smtplib
import subprocess
from concurrent.futures import ThreadPoolExecutor


def _deliver(port, messages, options):
    with smtplib.SMTP("127.0.0.1", port, local_hostname="client.example",
                      timeout=300) as client:
        client.ehlo()
        for m in messages:
            client.sendmail(m.sender, list(m.recipients), m.data,
                            mail_options=options)


PER_CONNECTION = 10     # each starts an smtpd(8) and a cleanup(8)
CONNECTIONS = 4


def by_smtp(port, messages, connections=None, options=()):
    """All messages over a few connections; returns when all were queued."""
    messages = list(messages)
    if connections is None:
        connections = min(CONNECTIONS, 1 + len(messages) // PER_CONNECTION)
    connections = max(1, min(connections, len(messages)))
    with ThreadPoolExecutor(connections) as pool:
        runs = [pool.submit(_deliver, port, messages[n::connections],
                            list(options))
                for n in range(connections)]
        for run in runs:
            run.result()


def by_sendmail(config_directory, message, *options):
    """One message through sendmail(1); LF line ends, as a local program
    would write it."""
    subprocess.run(
        ["sendmail", "-C", config_directory, "-i", "-f", message.sender,
         *options, "--", *message.recipients],
        input=message.data.replace(b"\r\n", b"\n"), check=True,
        capture_output=True)


def by_smtp_source(port, count, sender, recipient, size=1000,
                   connections=4, numbered=True):
    """smtp-source(1): fastest, but the messages carry no id of ours.

    numbered: recipients get distinct local parts.
    """
    subprocess.run(
        ["smtp-source", "-d", *(["-N"] if numbered else []),
         "-s", str(connections), "-m", str(count), "-l", str(size),
         "-f", sender, "-t", recipient, f"inet:127.0.0.1:{port}"],
        check=True, capture_output=True)
