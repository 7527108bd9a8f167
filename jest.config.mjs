/** Tests run on the built program in dist/: what is tested is what runs. Set BUILD_DIR to test another build. */
const build = process.env.BUILD_DIR ?? 'dist';
export default {
  rootDir: build,
  roots: ['<rootDir>/tests'],
  testMatch: ['**/*.test.js'],
  transform: {},
  testEnvironment: 'node',
  testRunner: '<rootDir>/tests/support/runner/native-runner.js',
  testSequencer: '<rootDir>/tests/support/runner/longest-first.js',
  globalSetup: '<rootDir>/tests/support/global-setup.js',
  globalTeardown: '<rootDir>/tests/support/global-teardown.js',
  testTimeout: 300_000,
  // not more than processors: the processes that score give way to everything else, and would wait for minutes
  maxWorkers: 2,
  // what a test that failed left running keeps nothing waiting
  forceExit: true,
};
