#!/usr/bin/env node
import { Command } from 'commander';
import { archive, checkAudit, exportToFile, printHead, verifyFile } from './commands/audit.js';
import { bindPerson, disableAccount, listAccounts } from './commands/account.js';
import { listSettings } from './commands/config.js';
import { backUp, checkBackup, openKeys, restore, sealKeys } from './commands/backup.js';
import { createClientKey, listClients } from './commands/client.js';
import { addHospitalFromFile, checkHospitals, enterCommission, listHospitalsTable } from './commands/hospital.js';
import { checkModels, listModelsTable } from './commands/model.js';
import {
  checkPolicy,
  diffPolicy,
  policyHistory,
  policyStatus,
  publishPolicy,
  replayDecision,
  rollbackPolicy,
  showPolicy,
  upgradePolicy,
} from './commands/policy.js';
import { reindex } from './commands/reindex.js';
import { replayPublished } from './commands/replay-score.js';
import { rekey } from './commands/rekey.js';
import { listFailures, retryScores } from './commands/score.js';
import { printToken } from './commands/token.js';

/** The command line. Each subcommand is one function of `commands/`; `--help` of each says what it takes. */
const program = new Command('hub').description('Regional imaging federation hub (区域影像数据共享联邦中心)');

program
  .command('serve')
  .description('run the hub: HTTP server, connectors, scoring workers')
  .option('--demo', 'create the demonstration region on first start and serve it')
  // the whole server is loaded only when it is wanted: every other command starts in half the time
  .action(async (options: { demo?: boolean }) => (await import('./commands/serve.js')).serve(options));

const hospital = program.command('hospital').description('join hospitals and look after their sources');
hospital
  .command('add <file>')
  .description(
    'join a hospital from a YAML record: id, name, consortium, assigner, sources, client (see docs/join-a-hospital.md)',
  )
  .action(addHospitalFromFile);
hospital.command('list').description('hospitals with their sources, studies and quarantine').action(listHospitalsTable);
hospital
  .command('check [id]')
  .description('ask each source whether it answers: reachability, lag, last error, what waits in quarantine')
  .action(checkHospitals);

program
  .command('commission')
  .description('the health commission')
  .command('add <id> <name>')
  .description('enter it, so that its officers and auditors can be bound to it')
  .action(enterCommission);

const client = program.command('client').description('systems of hospitals that sign in by key');
client
  .command('keygen <file>')
  .description('make a key pair: the private key goes to a new file, the public one is printed for the hospital’s record')
  .action(createClientKey);
client.command('list').description('registered systems with their roles and scope').action(listClients);

const account = program.command('account').description('people: what an identity of the OpenID Connect issuer may act as');
account
  .command('bind')
  .description('give a person her roles; a patient’s login is bound to one Patient')
  .requiredOption('--subject <sub>', 'subject at the issuer')
  .requiredOption('--name <name>', 'name as the audit shows it')
  .requiredOption('--role <role...>', 'roles, e.g. physician')
  .option('--issuer <url>', 'issuer; default: the configured one')
  .option('--organization <id>', 'Organization that she works for')
  .option('--practitioner <id>', 'Practitioner that she is')
  .option('--patient <id>', 'Patient that she is')
  .option('--guardian <id...>', 'RelatedPersons that she is, by which she acts for others as their guardian')
  .action(bindPerson);
account.command('list').description('accounts with their roles').action(listAccounts);
account.command('disable <id>').description('end an account’s access, its tokens included').action(disableAccount);

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

program.command('config').description('every setting with its variable, default and meaning').action(listSettings);

program
  .command('reindex [hospital]')
  .description('read the sources of one hospital, or of all, from the beginning')
  .action(reindex);
program
  .command('rekey')
  .description(
    'bring everything that is encrypted under the current secret, after it was changed (HUB_PREVIOUS_SECRETS names the old one)',
  )
  .action(rekey);

const policy = program.command('policy').description('access policy: its epochs, and how it is changed');
const NOTE = ['--note <why>', 'why; it stands in the history'] as const;
const AT_ONCE = ['--at-once', 'put it in force without a second person; the audit says so'] as const;
policy
  .command('check [folder]')
  .description(
    'load a policy (the program’s, or a folder’s) and run its examples; with a database, also compare it with the one in force',
  )
  .action(checkPolicy);
policy
  .command('status')
  .description('the policy in force, and what came with the program that it lacks; exit status 1 when it lacks something')
  .action(policyStatus);
policy
  .command('upgrade')
  .description('propose the policy in force with what it lacks of the program’s; another person publishes it')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(upgradePolicy);
policy.command('diff [folder]').description('how it differs from the one in force').action(diffPolicy);
policy
  .command('publish [folder]')
  .description('propose it; another person publishes it')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(publishPolicy);
policy.command('history').description('epochs, newest first, and open proposals').action(policyHistory);
policy.command('show [epoch]').description('the rules in force, or those of an epoch').action(showPolicy);
policy
  .command('rollback <epoch>')
  .description('propose an earlier epoch again')
  .requiredOption(...NOTE)
  .option(...AT_ONCE)
  .action(rollbackPolicy);
policy
  .command('replay <auditEvent>')
  .description('make a past decision again under the epoch that decided it')
  .action(replayDecision);

const model = program.command('model').description('scoring models');
const FOLDER = ['--folder <folder>', 'where the model folders lie, if not in the program'] as const;
model
  .command('list')
  .description('models with version, hash and licence')
  .option(...FOLDER)
  .action(listModelsTable);
model
  .command('check [name]')
  .description('check manifest, hash, graph and self-test')
  .option(...FOLDER)
  .action(checkModels);

const score = program.command('score').description('scores that failed for good, and published ones made again');
score
  .command('failures [hospital]')
  .description('failed scores of a hospital’s studies, or of all, with the reason')
  .action(listFailures);
score.command('retry <task...>').description('begin failed scores again').action(retryScores);
score
  .command('replay <id>')
  .description('make a published score again, by the id of its DiagnosticReport or Provenance, and compare it to the last bit')
  .action(replayPublished);

const audit = program.command('audit').description('the audit and its proof (see docs/audit-proof.md)');
const KEY = ['--key <key...>', 'trusted key: its thumbprint, or a file with a JWK or JWK Set'] as const;
const HEAD = ['--head <head...>', 'signed head that was kept outside: a file or the JWS itself'] as const;
const TOLERANCE = ['--tolerance <seconds>', 'longest that a transaction may take to commit; default 900'] as const;
audit
  .command('verify <file>')
  .description('check an export; needs neither database nor network')
  .option(...KEY)
  .option(...HEAD)
  .option(...TOLERANCE)
  .action(verifyFile);
audit
  .command('check')
  .description('check the database against its signed heads')
  .option(...KEY)
  .option(...HEAD)
  .option(...TOLERANCE)
  .action(checkAudit);
audit
  .command('export <file>')
  .description('write the audit, or some of its leaves, with what proves them (NDJSON)')
  .option('--from <leaf>', 'first leaf; default 0')
  .option('--to <leaf>', 'first leaf that is not wanted; default: all')
  .option('--witnessed <size...>', 'show that trees of these sizes are beginnings of this one')
  .action(exportToFile);
audit
  .command('archive <month>')
  .description('move a month (YYYY-MM) older than auditRetentionMonths out of the database; leaves and heads stay')
  .requiredOption('--to <folder>', 'where the file goes')
  .action(archive);
audit.command('head').description('print the newest signed head, to be kept by a witness outside').action(printHead);

const PASSPHRASE = ['--passphrase-file <file>', 'file whose first line is the passphrase; otherwise it is asked for'] as const;
const backup = program
  .command('backup')
  .description('back up the database beside a running hub (see docs/backup-and-restore.md)')
  .argument('<folder>', 'a folder that is not there yet')
  .action(backUp);
backup
  .command('check <folder>')
  .description('read a whole backup: every file is there as it was written, and the configured secrets open it')
  .action(checkBackup);
backup
  .command('keys <file>')
  .description('write the configured secrets to a file, encrypted under a passphrase, to be kept apart from the backups')
  .option(...PASSPHRASE)
  .action(sealKeys);
backup
  .command('open-keys <file>')
  .description('print the secrets of such a file as settings')
  .option(...PASSPHRASE)
  .action(openKeys);
program.command('restore <folder>').description('restore a backup into an empty database').action(restore);

program.parseAsync().catch((error: Error) => {
  process.stderr.write(`hub: ${error.message}\n`);
  process.exitCode = 1;
});
