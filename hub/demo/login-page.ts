/** The demonstration's sign-in page, in Chinese and English, without script. */
export function loginPage(
  people: readonly { username: string; name: string }[],
  state: { wrong?: boolean; expired?: boolean } = {},
): string {
  const problem = state.wrong
    ? '用户名或密码不正确 · Wrong user name or password'
    : state.expired
      ? '登录已过期，请从头开始 · This sign-in has expired, please start again'
      : '';
  return `<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>登录 · Sign in</title>
<style>
body { font: 16px/1.5 system-ui, "Noto Sans SC", "PingFang SC", "Microsoft YaHei", sans-serif; margin: 0; background: #f2f5f7; color: #17252e }
main { max-width: 26rem; margin: 8vh auto; padding: 2rem; background: #fff; border-radius: .5rem; box-shadow: 0 1px 6px #0002 }
h1 { font-size: 1.3rem; margin: 0 0 1rem }
label { display: block; margin: .8rem 0 .2rem }
input, button { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; border: 1px solid #8a9aa5; border-radius: .3rem }
button { margin-top: 1.2rem; background: #0b5f8a; color: #fff; border: 0 }
.problem { color: #a3161c }
small { color: #51616b }
</style>
</head>
<body><main>
<h1>登录演示区域 · Sign in to the demonstration</h1>
${problem ? `<p class="problem" role="alert">${problem}</p>` : ''}
${state.expired ? '' : form(people)}
<p><small>演示人员 · Demonstration people: ${people.map((p) => `${escaped(p.username)} (${escaped(p.name)})`).join(', ')}</small></p>
</main></body>
</html>`;
}

function form(people: readonly { username: string; name: string }[]): string {
  const options = people.map((p) => `<option value="${escaped(p.username)}">${escaped(p.name)}</option>`);
  return `<form method="post">
<label for="username">用户名 · User name</label>
<input id="username" name="username" list="people" autocomplete="username" required autofocus>
<datalist id="people">${options.join('')}</datalist>
<label for="password">密码 · Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>登录 · Sign in</button>
</form>`;
}

const ENTITIES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };

const escaped = (text: string): string => text.replace(/[&<>"']/g, (c) => ENTITIES[c] ?? c);
