// Sends the record in patient.json (UTF-8) and prints what became of it.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Http;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Threading.Tasks;

class Answer
{
    public bool Success { get; set; }
    public string Action { get; set; }
    public long? Id { get; set; }
    public List<string> Warnings { get; set; } = new List<string>();
    public string Code { get; set; }
    public string Detail { get; set; }
    public Dictionary<string, List<string>> Errors { get; set; } = new Dictionary<string, List<string>>();
    public List<Candidate> Candidates { get; set; } = new List<Candidate>();
}

class Candidate
{
    public long? Id { get; set; }
    public string MatchedBy { get; set; }
}

static class Push
{
    const string Address = "http://127.0.0.1:5082";
    const int Attempts = 4;

    // One client for the whole program: one for each request would use up the sockets.
    static readonly HttpClient Client = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false })
    {
        BaseAddress = new Uri(Address),
        Timeout = TimeSpan.FromSeconds(60)
    };

    static readonly JsonSerializerOptions Json = new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        PropertyNameCaseInsensitive = true
    };

    static int Main()
    {
        Console.OutputEncoding = Encoding.UTF8;
        Client.DefaultRequestHeaders.Add("X-API-Key", Environment.GetEnvironmentVariable("API_KEY"));
        return Run().GetAwaiter().GetResult();
    }

    static async Task<int> Run()
    {
        HttpResponseMessage response;
        try
        {
            response = await Post("/api/healthcare/patient", File.ReadAllBytes("patient.json"));
        }
        catch (TaskCanceledException) // HttpClient's word for a timeout
        {
            return Fail($"No answer from {Address} within {Client.Timeout.TotalSeconds} seconds.");
        }
        catch (Exception error) when (error is HttpRequestException || error is IOException)
        {
            return Fail($"Sending to {Address} failed: {error.Message}");
        }

        var text = await response.Content.ReadAsStringAsync();
        try
        {
            return Tell((int)response.StatusCode, JsonSerializer.Deserialize<Answer>(text, Json));
        }
        catch (JsonException)
        {
            return Fail($"HTTP {(int)response.StatusCode}, and not from the service: {text}");
        }
    }

    // To send a record twice is harmless, so it is tried again: when nobody answers, or the service is busy.
    static async Task<HttpResponseMessage> Post(string path, byte[] body)
    {
        for (var attempt = 1; ; attempt++)
        {
            var pause = TimeSpan.FromSeconds(attempt);
            try
            {
                // For JSON that you have as a string: new StringContent(json, Encoding.UTF8, "application/json")
                var content = new ByteArrayContent(body);
                content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
                var response = await Client.PostAsync(path, content);
                if (response.StatusCode != HttpStatusCode.ServiceUnavailable || attempt == Attempts)
                    return response;
                pause = response.Headers.RetryAfter?.Delta ?? pause;
            }
            catch (HttpRequestException) when (attempt < Attempts)
            {
            }
            await Task.Delay(pause);
        }
    }

    static int Tell(int status, Answer answer)
    {
        if (answer.Success)
            Console.WriteLine($"{answer.Action}: id {answer.Id}");
        else
            Console.WriteLine($"HTTP {status} {answer.Code}: {answer.Detail}");
        foreach (var warning in answer.Warnings)
            Console.WriteLine($"  warning: {warning}");
        foreach (var error in answer.Errors)
            Console.WriteLine($"  {error.Key}: {string.Join(" ", error.Value)}");
        foreach (var candidate in answer.Candidates)
            Console.WriteLine($"  candidate: id {candidate.Id}, found by {candidate.MatchedBy}");
        return answer.Success ? 0 : 1;
    }

    static int Fail(string message)
    {
        Console.Error.WriteLine(message);
        return 1;
    }
}
