#!/usr/bin/env node
import { Command } from 'commander';
import { checkHospitals, addHospitalFromFile, listHospitalsTable } from './commands/hospital.js';
import { checkModels, listModelsTable } from './commands/model.js';
import { checkPolicy } from './commands/policy.js';
import { reindex } from './commands/reindex.js';
import { serve } from './commands/serve.js';
import { printToken } from './commands/token.js';

/** The command line. Each subcommand is one function of `commands/`; `--help` of each says what it takes. */
const program = new Command('hub').description('Regional imaging federation hub (区域影像数据共享联邦中心)').showHelpAfterError();

program
  .command('serve')
  .description('run the hub: HTTP server, connectors, scoring workers')
  .option('--demo', 'create the demonstration region on first start and serve it')
  .action(serve);

const hospital = program.command('hospital').description('join hospitals and look after their sources');
hospital
  .command('add <file>')
  .description('join a hospital from a YAML record: id, name, consortium, assigner, sources, client (see README)')
  .action(addHospitalFromFile);
hospital.command('list').description('hospitals with their sources, studies and quarantine').action(listHospitalsTable);
hospital
  .command('check [id]')
  .description('ask each source whether it answers: reachability, lag, backlog, last error')
  .action(checkHospitals);

program
  .command('token')
  .description('print an access token of a running hub')
  .option('--as <username>', 'sign in as a person of the demonstration')
  .option('--client <id>', 'as a system, by its private key')
  .option('--key <file>', 'private key of the client (JWK)')
  .option('--role <role>', 'one of the person’s roles')
  .option('--purpose <code>', 'purpose of use, e.g. TREAT')
  .option('--scope <scope>', 'SMART scopes', 'system/*.cruds')
  .option('--url <url>', 'the hub’s address')
  .action(printToken);

program
  .command('reindex [hospital]')
  .description('read the sources of one hospital, or of all, from the beginning')
  .action(reindex);
program
  .command('policy')
  .description('access policy')
  .command('check')
  .description('load the policy and run its examples')
  .action(checkPolicy);

const model = program.command('model').description('scoring models');
model.command('list').description('models with version, hash and licence').action(listModelsTable);
model.command('check [name]').description('check manifest, hash, graph and self-test').action(checkModels);

program.parseAsync().catch((error: Error) => {
  process.stderr.write(`hub: ${error.message}\n`);
  process.exitCode = 1;
});
