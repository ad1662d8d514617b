/**
 * The examples that `--help` shows, by command. `tests/cli/examples_test.ts` runs every one of
 * them, and fails where a command has none.
 */
import type { Command } from "commander";

/** A transaction's or saga's id, as the examples write it. */
export const EXAMPLE_ID = "01JZ8Y6S3K8Q4T2W5X7Y9Z1A3B";

/** Where the examples' HTTP service is. */
export const EXAMPLE_SERVICE = "127.0.0.1:8080";

const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  "serve": ["layerd serve --repository app=$HOME/app"],
  "start": [`layerd start --repository app=$HOME/app --allow-participant ${EXAMPLE_SERVICE}`],
  "status": ["layerd status"],
  "stop": ["layerd stop"],
  "get-socket": [
    "layerd get-socket",
    'curl --unix-socket "$(layerd get-socket)" http://layerd/v1/health',
  ],
  "repo add": ["layerd repo add app $HOME/app"],
  "repo list": ["layerd repo list"],
  "repo remove": ["layerd repo remove app"],
  "layer create": ["layerd layer create user/bob", "layerd layer create user/bob --from user/ann"],
  "layer delete": ["layerd layer delete user/ann"],
  "layer list": ["layerd layer list", "layerd layer list --prefix team/"],
  "begin": [
    "export LAYERD_TRANSACTION=$(layerd begin -m 'raise the timeout')",
    "layerd begin --isolation optimistic",
    "layerd begin --lock team/base --lock-timeout-ms 1000",
  ],
  "commit": ["layerd commit"],
  "rollback": ["layerd rollback", `layerd rollback ${EXAMPLE_ID}`],
  "show": [`layerd show ${EXAMPLE_ID}`],
  "diff": [`layerd diff ${EXAMPLE_ID}`],
  "wait": [`layerd wait ${EXAMPLE_ID} --timeout-ms 5000`],
  "apply": ["layerd apply change.yaml", "layerd apply change.yaml --idempotency-key deploy-7"],
  "put": [
    "layerd put team/base settings.json settings.json",
    "echo hello | layerd put team/base greeting.txt",
  ],
  "rm": ["layerd rm team/base settings.json"],
  "mv": ["layerd mv team/base settings.json editor/settings.json"],
  "cat": ["layerd cat team/base settings.json"],
  "ls": ["layerd ls team/base"],
  "stack show": ["layerd stack show editor"],
  "stack list": ["layerd stack list"],
  "stack remove": ["layerd stack remove editor"],
  "log": ["layerd log", "layerd log team/base -n 5", "layerd log --graph"],
  "locks": ["layerd locks"],
  "events": ["layerd events --after 1-0 | head -n 3"],
  "health": ["layerd health"],
  "replica put": ["layerd replica put mirror app:team/base copy:team/base"],
  "replica list": ["layerd replica list"],
  "replica show": ["layerd replica show mirror"],
  "replica reconcile": ["layerd replica reconcile mirror"],
  "replica remove": ["layerd replica remove mirror"],
  "saga define": ["layerd saga define train train.yaml"],
  "saga start": ["layerd saga start train --wait 10000"],
  "saga list": ["layerd saga list", "layerd saga list --needs-operator"],
  "saga show": [`layerd saga show ${EXAMPLE_ID}`],
  "saga events": [`layerd saga events ${EXAMPLE_ID}`],
  "saga plan": [`layerd saga plan ${EXAMPLE_ID}`],
  "saga cancel": [`layerd saga cancel ${EXAMPLE_ID} --reason 'no longer wanted'`],
  "saga pause": [`layerd saga pause ${EXAMPLE_ID}`],
  "saga resume": [`layerd saga resume ${EXAMPLE_ID}`],
  "saga retry": [`layerd saga retry ${EXAMPLE_ID}`],
  "saga skip": [`layerd saga skip ${EXAMPLE_ID} --reason 'booked by hand'`],
  "saga compensate": [`layerd saga compensate ${EXAMPLE_ID}`],
  "plan": [
    "layerd plan git:app flags --duration-ms 2000",
    "layerd plan git:app flags --consistency eventual --duration-ms 3600000 --type train",
  ],
  "participant add": [
    `layerd participant add flags http://${EXAMPLE_SERVICE} --timeout-ms 2000`,
    `echo http://${EXAMPLE_SERVICE} | layerd participant add flags -`,
  ],
  "participant list": ["layerd participant list"],
  "participant show": ["layerd participant show flags"],
  "participant remove": ["layerd participant remove flags"],
  "in-doubt list": ["layerd in-doubt list"],
  "in-doubt explain": [`layerd in-doubt explain ${EXAMPLE_ID}`],
  "in-doubt resolve": [
    `layerd in-doubt resolve ${EXAMPLE_ID} flags committed --reason 'switched on by hand'`,
  ],
  "doctor": ["layerd doctor", "layerd doctor --repo $HOME/app"],
  "run": [
    "layerd run -m 'tidy up' -- sh -c 'layerd rm team/base settings.json'",
    "layerd run -- true",
  ],
  "completion": ["source <(layerd completion bash)", "layerd completion fish"],
};

/** Adds them to the help of every command below. */
export function addExamples(command: Command, path = ""): void {
  for (const one of command.commands) {
    const name = `${path} ${one.name()}`.trim();
    const examples = EXAMPLES[name];
    if (examples !== undefined) {
      one.addHelpText("after", ["\nExamples:", ...examples.map((line) => `  ${line}`)].join("\n"));
    }
    addExamples(one, name);
  }
}
