import { assertEquals } from "@std/assert";
import { plainServe } from "../../src/cli/serve_arguments.ts";

const AROUND = { env: () => undefined, cwd: "/srv", uid: 1000 };

Deno.test("plainServe() takes serve with options and their values, as the whole parser would", () => {
  const options = "--socket s --state-dir /state --repository a=/a --repository b=b " +
    "--allow-participant localhost:1 --allow-command /bin/true --saga-store postgres://x";
  assertEquals(plainServe(AROUND, ["serve", ...options.split(" ")]), {
    socket: "/srv/s",
    stateDir: "/state",
    repositories: [{ name: "a", path: "/a" }, { name: "b", path: "/srv/b" }],
    allowParticipants: ["localhost:1"],
    allowCommands: ["/bin/true"],
    sagaStore: "postgres://x",
  });
});

Deno.test("plainServe() leaves every other command line to the whole parser", () => {
  const lines = [
    "",
    "start",
    "--socket /s serve",
    "serve --help",
    "serve --socket=/s --state-dir=/d",
    "serve --socket --state-dir /d",
    "serve --unknown value",
    "serve --repository nameless",
    "serve extra word",
    `serve --socket /${"s".repeat(200)}`,
  ];
  for (const line of lines) assertEquals(plainServe(AROUND, line.split(" ")), null, line);
});
